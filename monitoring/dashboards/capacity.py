"""The dashboard of GPU and capacity: use of the devices by the models."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.dashboards.panels import Query, graph, page, row, variable

CHOSEN = 'model=~"$model"'
NAME = "{{model}} {{version}}"
GPU = "{{instance}} {{gpu_uuid}}"


def build() -> Dashboard:
    """Returns the dashboard."""
    model = variable("model", "Model", "label_values(nv_inference_count, model)")
    about = "GPUs, processors and memory, and how well batches and instances use them."
    return _machines(_models(_gpus(page("signs-capacity", "Signs: GPU and capacity", about, [model]))))


def _gpus(new: Dashboard) -> Dashboard:
    return row(
        new,
        "GPU: empty without one",
        graph(
            "Use",
            "Share of the time a GPU is busy.",
            "percentunit",
            Query("nv_gpu_utilization", GPU),
            Query("gpu:nv_gpu_utilization:mean5m", "{{gpu_uuid}}, mean of 5 min"),
            span=6,
            maximum=1,
        ),
        graph(
            "Memory",
            "Share in use. There is an alert from 90% on.",
            "percentunit",
            Query("gpu:nv_gpu_memory_used:ratio", "{{gpu_uuid}}"),
            span=6,
            limit=0.9,
            maximum=1,
        ),
        graph("Memory in bytes", "Memory in use.", "bytes", Query("nv_gpu_memory_used_bytes", GPU), span=6),
        graph(
            "Power",
            "Power draw and power limit of each GPU.",
            "watt",
            Query("nv_gpu_power_usage", GPU),
            Query("nv_gpu_power_limit", f"{GPU}, limit"),
            span=6,
        ),
    )


def _models(new: Dashboard) -> Dashboard:
    return row(
        new,
        "Models",
        graph(
            "Busy",
            "Mean number of busy instances of a model. When it reaches the number of instances, requests wait. "
            "The recognizer's value includes the models that it calls.",
            "none",
            Query(f"model_version:nv_inference_busy:rate5m{{{CHOSEN}}}", NAME),
        ),
        graph(
            "Batch size reached",
            "Inputs per execution. Near 1 under load means that no batches are formed.",
            "none",
            Query(f"model_version:nv_inference_batch_size:mean5m{{{CHOSEN}}}", NAME),
        ),
        graph(
            "Executions",
            "Batches that a model computes.",
            "cps",
            Query(f"sum by (model, version) (rate(nv_inference_exec_count{{{CHOSEN}}}[$__rate_interval]))", NAME),
        ),
        graph(
            "Waiting",
            "Requests in the queue. There is an alert if more than 16 wait for 5 minutes.",
            "short",
            Query(f"model_version:nv_inference_pending_requests:sum{{{CHOSEN}}}", NAME),
            limit=16,
        ),
        graph(
            "Time in the queue, by server",
            "Over all models, divided by at least one request a second; the metric of autoscaling.",
            "s",
            Query("instance:nv_inference_queue_seconds:mean2m", "{{instance}}"),
        ),
        graph(
            "Inputs",
            "Inputs of the models: photographs, scenes and signs.",
            "cps",
            Query(f"sum by (model, version) (rate(nv_inference_count{{{CHOSEN}}}[$__rate_interval]))", NAME),
        ),
    )


def _machines(new: Dashboard) -> Dashboard:
    return row(
        new,
        "Machines",
        graph(
            "Processors",
            "Share of the machine's processors in use, as Triton reports it.",
            "percentunit",
            Query("nv_cpu_utilization", "{{instance}}"),
            maximum=1,
        ),
        graph(
            "Memory",
            "Share of the machine's memory in use.",
            "percentunit",
            Query("nv_cpu_memory_used_bytes / nv_cpu_memory_total_bytes", "{{instance}}"),
            maximum=1,
        ),
        graph(
            "Targets",
            "1 if Prometheus gets the metrics.",
            "short",
            Query('up{job=~"triton|gateway|drift|repository|pushgateway|node|alertmanager"}', "{{job}} {{instance}}"),
            maximum=1,
        ),
    )
