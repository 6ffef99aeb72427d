"""The dashboard of the pipeline: the last results of its stages, the gate's verdicts, and the versions."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.dashboards.panels import GREEN, RED, YELLOW, Column, Query, graph, number, page, row, table, variable

CHOSEN = 'model=~"$model"'
DAY = 86400
COMPARED = "(.*_)?(accuracy|map50|ece)"  # figures for comparing versions
YES_NO = {"1": ("yes", GREEN), "0": ("no", "text")}


def build() -> Dashboard:
    """Returns the dashboard."""
    model = variable("model", "Model", "label_values(signs_repository_version_champion, model)")
    about = "Trainings, exports, verdicts of the gate, versions and their age."
    return _versions(_runs(page("signs-pipeline", "Signs: pipeline", about, [model]).time("now-30d", "now")))


def _runs(new: Dashboard) -> Dashboard:
    ended, succeeded = (
        f"max by (stage, model) (signs_pipeline_last_{what}_timestamp_seconds{{{CHOSEN}}})"
        for what in ("end", "success")
    )
    return row(
        new,
        "Stages",
        number(
            "Last run",
            "Whether the last run of each stage was successful.",
            "none",
            # 1 if there was never a success.
            Query(f"{ended} > bool {succeeded} or {ended} * 0 + 1", "{{stage}}, {{model}}"),
            span=6,
            words={"0": ("good", GREEN), "1": ("failed", RED)},
        ),
        number(
            "Since the last success",
            "A training is due every month; after 35 days there is an alert.",
            "s",
            Query(f"stage_model:signs_pipeline_success_age_seconds:min{{{CHOSEN}}}", "{{stage}}, {{model}}"),
            span=6,
            colours={30 * DAY: YELLOW, 35 * DAY: RED},
            decimals=1,
        ),
        number(
            "Gate",
            "The last verdict of the gate.",
            "none",
            Query(f"max by (model) (signs_pipeline_gate_passed{{{CHOSEN}}})", "{{model}}"),
            span=6,
            words={"1": ("passed", GREEN), "0": ("refused", RED)},
        ),
        number(
            "Version",
            "The version that the stage last published or evaluated.",
            "none",
            Query(f"max by (stage, model) (signs_pipeline_version{{{CHOSEN}}})", "{{stage}}, {{model}}"),
            span=6,
        ),
        graph(
            "Duration",
            "Duration of the last successful run.",
            "s",
            Query(f"max by (stage, model) (signs_pipeline_duration_seconds{{{CHOSEN}}})", "{{stage}}, {{model}}"),
        ),
        graph(
            "Training examples",
            "Signs for the classifier, scenes for the detector.",
            "short",
            Query(f"max by (model) (signs_pipeline_examples{{{CHOSEN}}})", "{{model}}"),
        ),
        graph(
            "Figures of the last training",
            "On held-out and test data.",
            "none",
            Query(
                f'max by (model, name) (signs_pipeline_figure{{{CHOSEN},stage="train",name=~"{COMPARED}"}})',
                "{{model}}: {{name}}",
            ),
            maximum=1,
        ),
    )


def _versions(new: Dashboard) -> Dashboard:
    return row(
        new,
        "Versions in the repository",
        table(
            "Versions",
            "All versions, which of them should be served, and on how many servers they are loaded.",
            {"model": "Model", "version": "Version"},
            [
                Column(
                    "Champion",
                    "none",
                    f"max by (model, version) (signs_repository_version_champion{{{CHOSEN}}})",
                    YES_NO,
                ),
                Column(
                    "To be served",
                    "none",
                    f"max by (model, version) (signs_repository_version_served{{{CHOSEN}}})",
                    YES_NO,
                ),
                Column("Loaded on", "short", f"count by (model, version) (nv_inference_count{{{CHOSEN}}})"),
                Column("Age", "s", f"model_version:signs_repository_version_age_seconds:min{{{CHOSEN}}}"),
                Column(
                    "Size", "decbytes", f"max by (model, version) (signs_repository_version_size_bytes{{{CHOSEN}}})"
                ),
            ],
        ),
        graph(
            "Age of the champions",
            "After 90 days there is an alert.",
            "s",
            Query(
                f"model_version:signs_repository_version_age_seconds:min{{{CHOSEN}}} "
                "and on (model, version) signs_repository_version_champion == 1",
                "{{model}} {{version}}",
            ),
            span=12,
            limit=90 * DAY,
        ),
        graph(
            "Figures of the versions",
            "As measured when they were trained.",
            "none",
            Query(
                f'max by (model, version, name) (signs_repository_version_figure{{{CHOSEN},name=~"{COMPARED}"}})',
                "{{model}} {{version}}: {{name}}",
            ),
            span=12,
            maximum=1,
        ),
    )
