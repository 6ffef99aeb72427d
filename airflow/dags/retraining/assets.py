"""Airflow assets: the triggers of a retraining, and the published models for other DAGs."""

from airflow.sdk import Asset, AssetAlias

MODELS = {
    name: Asset(f"traffic_signs_{name}", uri=f"signs://model/{name}", group="traffic-signs", extra={"model": name})
    for name in ("sign_classifier", "sign_detector")
}
# The parameters of a run decide which of the two it publishes.
PUBLISHED = AssetAlias("traffic_signs_published", group="traffic-signs")
LABELLED = Asset("traffic_signs_labelled_data", uri="signs://data/labelled", group="traffic-signs")
DRIFT = Asset("traffic_signs_drift", uri="signs://drift", group="traffic-signs")
