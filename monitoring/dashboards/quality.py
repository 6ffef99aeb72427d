"""Model quality and drift: what the scores say, what the pictures are like, the new version against the champion."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from monitoring.dashboards.panels import RED, YELLOW, Query, graph, number, page, variable

CHOSEN = 'version=~"$version"'


def build() -> Dashboard:
    """Returns the dashboard."""
    version = variable("version", "Version", "label_values(sign_recognizer_scenes_total, version)")
    about = "How well the models see, without labels: their own scores, the pictures they get, and drift."
    return _drift(_pictures(_scores(_new_version(page("signs-quality", "Signs: model quality", about, [version])))))


def _new_version(new: Dashboard) -> Dashboard:
    return (
        new.with_row(Row("A new version beside the champion: its figures less the champion's"))
        .with_panel(
            graph(
                "Class score",
                "Mean score of the signs' classes, less the champion's. Below 0 the new version is less sure.",
                "none",
                Query("model_version:sign_recognizer_class_score:minus_champion", "{{model}} {{version}}"),
                span=6,
                can_be_negative=True,
            )
        )
        .with_panel(
            graph(
                "Mismatches and empty scenes",
                "Shares of signs whose class is not of the category that the detector saw, and of photographs without "
                "a sign, less the champion's.",
                "percentunit",
                Query(
                    "model_version:sign_recognizer_category_mismatches:minus_champion",
                    "mismatches, {{model}} {{version}}",
                ),
                Query(
                    "model_version:sign_recognizer_empty_scenes:minus_champion", "empty scenes, {{model}} {{version}}"
                ),
                span=6,
                can_be_negative=True,
            )
        )
        .with_panel(
            graph(
                "Failures",
                "Share of requests without an answer, less the champion's.",
                "percentunit",
                Query("model_version:nv_inference_failures:minus_champion", "{{model}} {{version}}"),
                span=6,
                can_be_negative=True,
            )
        )
        .with_panel(
            graph(
                "Time, as a multiple of the champion's",
                "End to end in Triton; at 2 the new version takes twice as long.",
                "none",
                Query(
                    'model_version:nv_inference_request_seconds:over_champion{quantile=~"0.5|0.99"}',
                    "{{model}} {{version}}, quantile {{quantile}}",
                ),
                span=6,
            )
        )
    )


def _scores(new: Dashboard) -> Dashboard:
    return (
        new.with_row(Row("What the scores say"))
        .with_panel(
            graph(
                "Mean class score",
                "Of all signs found. Below three quarters of the day's mean, or below 0.5, somebody is woken.",
                "none",
                Query(f"model_version:sign_recognizer_class_score:mean15m{{{CHOSEN}}}", "version {{version}}, 15 min"),
                Query(f"model_version:sign_recognizer_class_score:mean1d{{{CHOSEN}}}", "version {{version}}, 1 day"),
                limit=0.5,
                maximum=1,
            )
        )
        .with_panel(
            graph(
                "Class score, the least sure signs",
                "A tenth of the signs has a lower score; of a good model the median is near 1.",
                "none",
                Query(_quantile(0.1, "class_score"), "version {{version}}, a tenth is below"),
                Query(_quantile(0.5, "class_score"), "version {{version}}, median"),
                maximum=1,
            )
        )
        .with_panel(
            graph(
                "Mean detection score",
                "How sure the detector is of the signs it reports.",
                "none",
                Query(f"model_version:sign_recognizer_detection_score:mean15m{{{CHOSEN}}}", "version {{version}}"),
                maximum=1,
            )
        )
        .with_panel(
            graph(
                "Photographs without a sign",
                "Share of the photographs answered.",
                "percentunit",
                Query(
                    f"model_version:sign_recognizer_empty_scenes:ratio_rate15m{{{CHOSEN}}}",
                    "version {{version}}, 15 min",
                ),
                Query(
                    f"model_version:sign_recognizer_empty_scenes:ratio_rate1d{{{CHOSEN}}}", "version {{version}}, 1 day"
                ),
                maximum=1,
            )
        )
        .with_panel(
            graph(
                "Category mismatches",
                "Signs whose class is not of the category that the detector saw: the nearest thing to an error rate.",
                "percentunit",
                Query(
                    f"model_version:sign_recognizer_category_mismatches:ratio_rate15m{{{CHOSEN}}}",
                    "version {{version}}",
                ),
            )
        )
        .with_panel(
            graph(
                "The ten signs found most",
                "By class. A class that appears from nowhere or vanishes is worth a look.",
                "cps",
                Query(
                    f"topk(10, sum by (name) (rate(sign_recognizer_signs_total{{{CHOSEN}}}[$__rate_interval]))) > 0",
                    "{{name}}",
                ),
                stacked=True,
            )
        )
    )


def _pictures(new: Dashboard) -> Dashboard:
    for title, about, metric, unit in (
        ("Brightness", "Mean luma of the photographs, 0 to 255.", "scene_brightness", "none"),
        ("Sharpness", "Variance of the Laplacian: fog, blur and a dirty lens lower it.", "scene_sharpness", "none"),
        ("Size of signs", "In pixels of the detector's input.", "sign_size_pixels", "pixel"),
    ):
        if metric == "scene_brightness":
            new = new.with_row(Row("What the pictures are like"))
        new = new.with_panel(
            graph(
                title,
                f"{about} Median, and the range of the middle 80 of 100.",
                unit,
                *(
                    Query(_quantile(quantile, metric), f"version {{{{version}}}}, {name}")
                    for quantile, name in ((0.1, "10 of 100"), (0.5, "median"), (0.9, "90 of 100"))
                ),
                span=6,
            )
        )
    return new.with_panel(
        graph(
            "Photographs that cannot be read",
            "Share of all photographs: no pictures, damaged or too large.",
            "percentunit",
            Query(f"model_version:sign_recognizer_unreadable:ratio_rate15m{{{CHOSEN}}}", "version {{version}}"),
            span=6,
            limit=0.1,
        )
    )


def _drift(new: Dashboard) -> Dashboard:
    return (
        new.with_row(Row("Drift: against what the version was judged on"))
        .with_panel(
            number(
                "Features that have drifted",
                "Their names are in the alert and in the next panels.",
                "short",
                Query(f"sum(signs_drift_firing{{{CHOSEN}}})", "drifted"),
                span=6,
                colours={1: RED},
            )
        )
        .with_panel(
            number(
                "Computed",
                "Time since drift was last computed.",
                "s",
                Query("time() - max(signs_drift_last_success_timestamp_seconds)", "ago"),
                span=6,
                colours={600: YELLOW, 1800: RED},
            )
        )
        .with_panel(
            number(
                "Photographs judged by",
                "In the window that the exporter looks at.",
                "short",
                Query(f"sum(signs_drift_samples{{{CHOSEN}}})", "photographs"),
                span=6,
                decimals=0,  # Prometheus reckons with parts of a photograph at the edges of the window
            )
        )
        .with_panel(
            number(
                "Version",
                "The recognizers that have answered in the last 15 minutes.",
                "short",
                Query("count(model_version:sign_recognizer_scenes:rate15m > 0)", "versions in use"),
                span=6,
            )
        )
        .with_panel(
            graph(
                "Population stability index",
                "0 is no difference; 0.25 is usually taken for a large one.",
                "none",
                Query(f"signs_drift_score{{{CHOSEN}}}", "{{feature}}, version {{version}}"),
                span=12,
                limit=0.25,
            )
        )
        .with_panel(
            graph(
                "Chance of such a difference without drift",
                "Small is suspicious, and with many photographs the least difference is small: read it with the index.",
                "none",
                Query(f"signs_drift_p_value{{{CHOSEN}}}", "{{feature}}, version {{version}}"),
                span=12,
                is_logarithmic=True,
            )
        )
    )


def _quantile(quantile: float, metric: str) -> str:
    buckets = f"rate(sign_recognizer_{metric}_bucket{{{CHOSEN}}}[$__rate_interval])"
    return f"histogram_quantile({quantile:g}, sum by (version, le) ({buckets}))"
