"""The service overview: the golden signals, first of the gateway, then of Triton by model and version."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from monitoring.dashboards.panels import RED, YELLOW, Query, graph, number, page, variable

CHOSEN = 'model=~"$model",version=~"$version"'
NAME = "{{model}} {{version}}"


def build() -> Dashboard:
    """Returns the dashboard."""
    model = variable("model", "Model", "label_values(nv_inference_count, model)")
    version = variable("version", "Version", 'label_values(nv_inference_count{model=~"$model"}, version)')
    about = "Latency, traffic, errors and saturation: what users get, and what each model does."
    return _triton(_users(_now(page("signs-service", "Signs: service overview", about, [model, version]))))


def _now(new: Dashboard) -> Dashboard:
    return (
        new.with_row(Row("Now"))
        .with_panel(
            number(
                "Alerts",
                "How many alerts fire. Each has a section in monitoring/README.md.",
                "short",
                Query('count(ALERTS{alertname=~"Signs.+",alertstate="firing"}) or vector(0)', "firing"),
                colours={1: RED},
            )
        )
        .with_panel(
            number("Servers", "Tritons that answer Prometheus.", "short", Query('sum(up{job="triton"})', "up"), span=4)
        )
        .with_panel(
            number(
                "Requests",
                "What arrives at the gateway, mean of 5 minutes.",
                "reqps",
                Query("sum(route_outcome:signs_gateway_requests:rate5m)", "requests"),
            )
        )
        .with_panel(
            number(
                "Failed",
                "Share of an hour's requests that failed through our fault; the objective is 0.5% a month.",
                "percentunit",
                Query("gateway:signs_gateway_errors:ratio_rate1h", "failed"),
                colours={0.005: YELLOW, 0.072: RED},
                decimals=2,
            )
        )
        .with_panel(
            number(
                "Slow",
                "Share of an hour's answers that took more than 0.5 s; the objective is 1% a month.",
                "percentunit",
                Query("gateway:signs_gateway_slow:ratio_rate1h", "slow"),
                colours={0.01: YELLOW, 0.144: RED},
                decimals=2,
            )
        )
        .with_panel(
            number(
                "Refused",
                "Share of the requests that the gateway turns away because it has too many.",
                "percentunit",
                Query("gateway:signs_gateway_refused:ratio_rate5m", "refused"),
                colours={0.001: YELLOW, 0.05: RED},
                decimals=2,
            )
        )
    )


def _users(new: Dashboard) -> Dashboard:
    return (
        new.with_row(Row("What users get: the gateway"))
        .with_panel(
            graph(
                "Requests by outcome",
                "client_error is the sender's fault, overloaded was turned away, the rest but ok is ours.",
                "reqps",
                Query("sum by (outcome) (route_outcome:signs_gateway_requests:rate5m)", "{{outcome}}"),
                stacked=True,
            )
        )
        .with_panel(
            graph(
                "Time to answer",
                "Of requests that were answered, the slowest route. 99% are to take at most 0.5 s.",
                "s",
                Query(
                    "max by (quantile) (route_quantile:signs_gateway_request_seconds:rate5m)", "quantile {{quantile}}"
                ),
                limit=0.5,
            )
        )
        .with_panel(
            graph(
                "Budgets burnt",
                "How many times faster than it lasts the month's budget of failed and slow answers is spent. An hour "
                "at 14.4 or 6 hours at 6 wake somebody.",
                "none",
                Query("gateway:signs_gateway_errors:ratio_rate1h / 0.005", "failed, 1 h"),
                Query("gateway:signs_gateway_errors:ratio_rate6h / 0.005", "failed, 6 h"),
                Query("gateway:signs_gateway_slow:ratio_rate1h / 0.01", "slow, 1 h"),
                Query("gateway:signs_gateway_slow:ratio_rate6h / 0.01", "slow, 6 h"),
                limit=14.4,
            )
        )
        .with_panel(
            graph(
                "In flight",
                "Requests that the gateway is answering.",
                "short",
                Query("sum(signs_gateway_in_flight)", "in flight"),
                span=6,
            )
        )
        .with_panel(
            graph(
                "Uploads",
                "Size of what is sent to the gateway.",
                "decbytes",
                Query(
                    "histogram_quantile(0.5, sum by (le) (rate(signs_gateway_upload_bytes_bucket[$__rate_interval])))",
                    "median",
                ),
                Query(
                    "histogram_quantile(0.95, sum by (le) (rate(signs_gateway_upload_bytes_bucket[$__rate_interval])))",
                    "95 of 100",
                ),
                span=6,
            )
        )
        .with_panel(
            graph(
                "Failures of Triton, as the gateway sees them",
                "Calls that failed, by reason.",
                "cps",
                Query("sum by (reason) (rate(signs_gateway_upstream_failures_total[$__rate_interval]))", "{{reason}}"),
                span=6,
            )
        )
        .with_panel(
            graph(
                "Feedback",
                "Corrections that people send: refused is the sender's fault, failed is ours, such as a full disk.",
                "cps",
                Query("sum by (outcome) (rate(signs_gateway_feedback_total[$__rate_interval]))", "{{outcome}}"),
                span=6,
            )
        )
    )


def _triton(new: Dashboard) -> Dashboard:
    quantiles = f'{{{CHOSEN},quantile=~"0.5|0.99"}}'
    return (
        new.with_row(Row("What the models do: Triton"))
        .with_panel(
            graph(
                "Requests",
                "By model and version. The recognizer asks the detector once for each photograph and the classifier "
                "for its signs.",
                "reqps",
                Query(f"model_version:nv_inference_requests:rate5m{{{CHOSEN}}}", NAME),
            )
        )
        .with_panel(
            graph(
                "Failures",
                "Share of the requests without an answer, pictures that nobody can read left out.",
                "percentunit",
                Query(f"model_version:nv_inference_failures:ratio_rate5m{{{CHOSEN}}}", NAME),
                limit=0.05,
            )
        )
        .with_panel(
            graph(
                "Failures by reason",
                "Triton's own reasons, and those of the recognizer.",
                "cps",
                Query(
                    f"sum by (reason) (rate(nv_inference_request_failure{{{CHOSEN}}}[$__rate_interval]))", "{{reason}}"
                ),
                Query(
                    'sum by (reason) (rate(sign_recognizer_failures_total{version=~"$version"}[$__rate_interval]))',
                    "recognizer's own: {{reason}}",
                ),
            )
        )
        .with_panel(
            graph(
                "End to end",
                "From arrival at Triton to the answer, of the last minute.",
                "s",
                Query(
                    f"model_version:nv_inference_request_seconds:quantile{quantiles}",
                    f"{NAME}, quantile {{{{quantile}}}}",
                ),
            )
        )
        .with_panel(
            graph(
                "In the queue",
                "How long requests wait before the model takes them. An alert begins at a mean of 0.1 s.",
                "s",
                Query(
                    f"model_version:nv_inference_queue_seconds:quantile{quantiles}",
                    f"{NAME}, quantile {{{{quantile}}}}",
                ),
                Query(f"model_version:nv_inference_queue_seconds:mean5m{{{CHOSEN}}}", f"{NAME}, mean"),
                limit=0.1,
            )
        )
        .with_panel(
            graph(
                "Inference",
                "How long the model itself takes, of the last minute.",
                "s",
                Query(
                    f"model_version:nv_inference_compute_seconds:quantile{quantiles}",
                    f"{NAME}, quantile {{{{quantile}}}}",
                ),
            )
        )
    )
