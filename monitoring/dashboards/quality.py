"""The dashboard of model quality: scores, pictures, drift, and the new version compared with the champion."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.dashboards.panels import RED, YELLOW, Query, graph, number, page, row, variable

CHOSEN = 'version=~"$version"'


def build() -> Dashboard:
    """Returns the dashboard."""
    version = variable("version", "Version", "label_values(sign_recognizer_scenes_total, version)")
    about = "Quality of the models without labels: their scores, the pictures they get, and drift."
    return _drift(_pictures(_scores(_new_version(page("signs-quality", "Signs: model quality", about, [version])))))


def _new_version(new: Dashboard) -> Dashboard:
    return row(
        new,
        "New version minus champion",
        graph(
            "Class score",
            "Mean class score minus the champion's. Below 0 the new version has lower scores.",
            "none",
            Query("model_version:sign_recognizer_class_score:minus_champion", "{{model}} {{version}}"),
            span=6,
            can_be_negative=True,
        ),
        graph(
            "Mismatches and empty scenes",
            "Share of signs whose class is not in the detector's category, and share of photographs without a "
            "sign, both minus the champion's.",
            "percentunit",
            Query(
                "model_version:sign_recognizer_category_mismatches:minus_champion", "mismatches, {{model}} {{version}}"
            ),
            Query("model_version:sign_recognizer_empty_scenes:minus_champion", "empty scenes, {{model}} {{version}}"),
            span=6,
            can_be_negative=True,
        ),
        graph(
            "Failures",
            "Share of failed requests minus the champion's.",
            "percentunit",
            Query("model_version:nv_inference_failures:minus_champion", "{{model}} {{version}}"),
            span=6,
            can_be_negative=True,
        ),
        graph(
            "Latency relative to the champion",
            "End to end in Triton; 2 means that the new version takes twice as long.",
            "none",
            Query(
                'model_version:nv_inference_request_seconds:over_champion{quantile=~"0.5|0.99"}',
                "{{model}} {{version}}, quantile {{quantile}}",
            ),
            span=6,
        ),
    )


def _scores(new: Dashboard) -> Dashboard:
    return row(
        new,
        "Scores",
        graph(
            "Mean class score",
            "Of all signs found. There is an alert below 0.5, and below three quarters of the day's mean.",
            "none",
            Query(f"model_version:sign_recognizer_class_score:mean15m{{{CHOSEN}}}", "version {{version}}, 15 min"),
            Query(f"model_version:sign_recognizer_class_score:mean1d{{{CHOSEN}}}", "version {{version}}, 1 day"),
            limit=0.5,
            maximum=1,
        ),
        graph(
            "Class score, 10th percentile and median",
            "The median of a good model is near 1.",
            "none",
            Query(_quantile(0.1, "class_score"), "version {{version}}, 10th percentile"),
            Query(_quantile(0.5, "class_score"), "version {{version}}, median"),
            maximum=1,
        ),
        graph(
            "Mean detection score",
            "Mean detection score of the signs found.",
            "none",
            Query(f"model_version:sign_recognizer_detection_score:mean15m{{{CHOSEN}}}", "version {{version}}"),
            maximum=1,
        ),
        graph(
            "Photographs without a sign",
            "Share of all photographs.",
            "percentunit",
            Query(
                f"model_version:sign_recognizer_empty_scenes:ratio_rate15m{{{CHOSEN}}}", "version {{version}}, 15 min"
            ),
            Query(f"model_version:sign_recognizer_empty_scenes:ratio_rate1d{{{CHOSEN}}}", "version {{version}}, 1 day"),
            maximum=1,
        ),
        graph(
            "Category mismatches",
            "Share of signs whose class is not in the detector's category; approximates an error rate.",
            "percentunit",
            Query(
                f"model_version:sign_recognizer_category_mismatches:ratio_rate15m{{{CHOSEN}}}", "version {{version}}"
            ),
        ),
        graph(
            "The ten signs found most",
            "By class. Check classes that appear or vanish suddenly.",
            "cps",
            Query(
                f"topk(10, sum by (name) (rate(sign_recognizer_signs_total{{{CHOSEN}}}[$__rate_interval]))) > 0",
                "{{name}}",
            ),
            stacked=True,
        ),
    )


def _pictures(new: Dashboard) -> Dashboard:
    quantiles = ((0.1, "10th percentile"), (0.5, "median"), (0.9, "90th percentile"))
    measures = (
        ("Brightness", "Mean luma of the photographs, 0 to 255.", "scene_brightness", "none"),
        ("Sharpness", "Variance of the Laplacian: fog, blur and a dirty lens lower it.", "scene_sharpness", "none"),
        ("Size of signs", "In pixels of the detector's input.", "sign_size_pixels", "pixel"),
    )
    return row(
        new,
        "Pictures",
        *(
            graph(
                title,
                f"{about} Median, 10th and 90th percentile.",
                unit,
                *(Query(_quantile(each, metric), f"version {{{{version}}}}, {name}") for each, name in quantiles),
                span=6,
            )
            for title, about, metric, unit in measures
        ),
        graph(
            "Photographs that cannot be read",
            "Share of all photographs that are not pictures, damaged or too large.",
            "percentunit",
            Query(f"model_version:sign_recognizer_unreadable:ratio_rate15m{{{CHOSEN}}}", "version {{version}}"),
            span=6,
            limit=0.1,
        ),
    )


def _drift(new: Dashboard) -> Dashboard:
    return row(
        new,
        "Drift against the reference of the version",
        number(
            "Features that have drifted",
            "Their names are in the alert and in the next panels.",
            "short",
            Query(f"sum(signs_drift_firing{{{CHOSEN}}})", "drifted"),
            span=6,
            colours={1: RED},
        ),
        number(
            "Computed",
            "Time since drift was last computed.",
            "s",
            Query("time() - max(signs_drift_last_success_timestamp_seconds)", "ago"),
            span=6,
            colours={600: YELLOW, 1800: RED},
        ),
        number(
            "Photographs in the window",
            "Sample of the last drift computation.",
            "short",
            Query(f"sum(signs_drift_samples{{{CHOSEN}}})", "photographs"),
            span=6,
            decimals=0,  # Prometheus extrapolates to fractions at the edges of the window
        ),
        number(
            "Version",
            "Recognizers that have answered in the last 15 minutes.",
            "short",
            Query("count(model_version:sign_recognizer_scenes:rate15m > 0)", "versions in use"),
            span=6,
        ),
        graph(
            "Population stability index",
            "0 is no difference; 0.25 is usually considered large.",
            "none",
            Query(f"signs_drift_score{{{CHOSEN}}}", "{{feature}}, version {{version}}"),
            span=12,
            limit=0.25,
        ),
        graph(
            "p-value of the difference",
            "With many photographs even a tiny difference is significant: read it together with the index.",
            "none",
            Query(f"signs_drift_p_value{{{CHOSEN}}}", "{{feature}}, version {{version}}"),
            span=12,
            is_logarithmic=True,
        ),
    )


def _quantile(quantile: float, metric: str) -> str:
    buckets = f"rate(sign_recognizer_{metric}_bucket{{{CHOSEN}}}[$__rate_interval])"
    return f"histogram_quantile({quantile:g}, sum by (version, le) ({buckets}))"
