"""The dashboard of the service: the golden signals of the gateway, and of Triton by model and version."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.dashboards.panels import RED, YELLOW, Query, graph, number, page, row, variable

CHOSEN = 'model=~"$model",version=~"$version"'
NAME = "{{model}} {{version}}"
QUANTILE = f"{NAME}, quantile {{{{quantile}}}}"


def build() -> Dashboard:
    """Returns the dashboard."""
    model = variable("model", "Model", "label_values(nv_inference_count, model)")
    version = variable("version", "Version", 'label_values(nv_inference_count{model=~"$model"}, version)')
    about = "Latency, traffic, errors and saturation of the gateway and of each model."
    return _triton(_users(_now(page("signs-service", "Signs: service overview", about, [model, version]))))


def _now(new: Dashboard) -> Dashboard:
    return row(
        new,
        "Now",
        number(
            "Alerts",
            "Number of firing alerts. Each has a section in monitoring/runbook.md.",
            "short",
            Query('count(ALERTS{alertname=~"Signs.+",alertstate="firing"}) or vector(0)', "firing"),
            colours={1: RED},
        ),
        number("Servers", "Tritons that answer Prometheus.", "short", Query('sum(up{job="triton"})', "up"), span=4),
        number(
            "Requests",
            "Requests to the gateway, mean of 5 minutes.",
            "reqps",
            Query("sum(route_outcome:signs_gateway_requests:rate5m)", "requests"),
        ),
        number(
            "Failed",
            "Share of the last hour's requests with a server error; the objective is 0.5% a month.",
            "percentunit",
            Query("gateway:signs_gateway_errors:ratio_rate1h", "failed"),
            colours={0.005: YELLOW, 0.072: RED},
            decimals=2,
        ),
        number(
            "Slow",
            "Share of the last hour's answers that took more than 0.5 s; the objective is 1% a month.",
            "percentunit",
            Query("gateway:signs_gateway_slow:ratio_rate1h", "slow"),
            colours={0.01: YELLOW, 0.144: RED},
            decimals=2,
        ),
        number(
            "Refused",
            "Share of requests that the gateway refuses because of overload.",
            "percentunit",
            Query("gateway:signs_gateway_refused:ratio_rate5m", "refused"),
            colours={0.001: YELLOW, 0.05: RED},
            decimals=2,
        ),
    )


def _users(new: Dashboard) -> Dashboard:
    return row(
        new,
        "Gateway",
        graph(
            "Requests by outcome",
            "client_error is a fault of the client, overloaded was refused; all except ok are server errors.",
            "reqps",
            Query("sum by (outcome) (route_outcome:signs_gateway_requests:rate5m)", "{{outcome}}"),
            stacked=True,
        ),
        graph(
            "Time to answer",
            "Of the slowest route. The objective is 0.5 s for 99% of the answers.",
            "s",
            Query("max by (quantile) (route_quantile:signs_gateway_request_seconds:rate5m)", "quantile {{quantile}}"),
            limit=0.5,
        ),
        graph(
            "Burn rates of the error budgets",
            "At 1 the month's budget of failed or slow answers lasts exactly a month. There is an alert at 14.4 "
            "over an hour, or 6 over 6 hours.",
            "none",
            Query("gateway:signs_gateway_errors:ratio_rate1h / 0.005", "failed, 1 h"),
            Query("gateway:signs_gateway_errors:ratio_rate6h / 0.005", "failed, 6 h"),
            Query("gateway:signs_gateway_slow:ratio_rate1h / 0.01", "slow, 1 h"),
            Query("gateway:signs_gateway_slow:ratio_rate6h / 0.01", "slow, 6 h"),
            limit=14.4,
        ),
        graph(
            "In flight",
            "Requests that the gateway is processing.",
            "short",
            Query("sum(signs_gateway_in_flight)", "in flight"),
            span=6,
        ),
        graph(
            "Uploads",
            "Size of uploads to the gateway.",
            "decbytes",
            Query(
                "histogram_quantile(0.5, sum by (le) (rate(signs_gateway_upload_bytes_bucket[$__rate_interval])))",
                "median",
            ),
            Query(
                "histogram_quantile(0.95, sum by (le) (rate(signs_gateway_upload_bytes_bucket[$__rate_interval])))",
                "95th percentile",
            ),
            span=6,
        ),
        graph(
            "Failed calls of Triton by the gateway",
            "By reason.",
            "cps",
            Query("sum by (reason) (rate(signs_gateway_upstream_failures_total[$__rate_interval]))", "{{reason}}"),
            span=6,
        ),
        graph(
            "Feedback",
            "Corrections from users: refused is a fault of the client, failed one of the server.",
            "cps",
            Query("sum by (outcome) (rate(signs_gateway_feedback_total[$__rate_interval]))", "{{outcome}}"),
            span=6,
        ),
    )


def _triton(new: Dashboard) -> Dashboard:
    quantiles = f'{{{CHOSEN},quantile=~"0.5|0.99"}}'
    return row(
        new,
        "Triton",
        graph(
            "Requests",
            "By model and version. The recognizer calls the detector once per photograph and the classifier for "
            "its signs.",
            "reqps",
            Query(f"model_version:nv_inference_requests:rate5m{{{CHOSEN}}}", NAME),
        ),
        graph(
            "Failures",
            "Share of failed requests, without unreadable pictures.",
            "percentunit",
            Query(f"model_version:nv_inference_failures:ratio_rate5m{{{CHOSEN}}}", NAME),
            limit=0.05,
        ),
        graph(
            "Failures by reason",
            "Reasons of Triton and of the recognizer.",
            "cps",
            Query(f"sum by (reason) (rate(nv_inference_request_failure{{{CHOSEN}}}[$__rate_interval]))", "{{reason}}"),
            Query(
                'sum by (reason) (rate(sign_recognizer_failures_total{version=~"$version"}[$__rate_interval]))',
                "recognizer: {{reason}}",
            ),
        ),
        graph(
            "End to end",
            "From arrival at Triton to the answer, over the last minute.",
            "s",
            Query(f"model_version:nv_inference_request_seconds:quantile{quantiles}", QUANTILE),
        ),
        graph(
            "In the queue",
            "Waiting time before the model takes a request. There is an alert from a mean of 0.1 s on.",
            "s",
            Query(f"model_version:nv_inference_queue_seconds:quantile{quantiles}", QUANTILE),
            Query(f"model_version:nv_inference_queue_seconds:mean5m{{{CHOSEN}}}", f"{NAME}, mean"),
            limit=0.1,
        ),
        graph(
            "Inference",
            "Time in the model, over the last minute.",
            "s",
            Query(f"model_version:nv_inference_compute_seconds:quantile{quantiles}", QUANTILE),
        ),
    )
