"""The parameters of a retraining, as the trigger form shows and checks them."""

from airflow.sdk import Param

from retraining.settings import MOST_EPOCHS, SPEC, TRAINED, Settings


def parameters(settings: Settings) -> dict[str, Param]:
    """Returns them, with the settings as defaults: what a run on schedule takes."""
    return {
        "model": Param(
            "sign_classifier",
            type="string",
            enum=["sign_classifier", "sign_detector"],
            title="Model",
            description="What is retrained.",
        ),
        "data": Param(
            list(settings.data),
            type="array",
            items={"type": "string", "pattern": TRAINED},
            minItems=1,
            uniqueItems=True,
            title="Data to learn from",
            description="gtsrb=, gtsdb=, images=, coco= or yolo=PATH (folder or zip), or synthetic=N; "
            "of a detector whole scenes: gtsdb=, coco= or yolo=PATH.",
        ),
        "feedback": Param(
            settings.feedback or None,
            type=["string", "null"],  # the form does not start a run whose string is empty
            pattern=r"^(\S.*)?$",
            title="Feedback",
            description="Folder of what users corrected, learned from too once it has entries; empty for none.",
        ),
        "evaluation": Param(
            settings.evaluation,
            type="string",
            pattern=SPEC,
            title="Evaluation set",
            description="What challenger and champion are judged on: keep it frozen.",
        ),
        "epochs": Param(
            settings.epochs,
            type="integer",
            minimum=0,
            maximum=MOST_EPOCHS,
            title="Epochs",
            description="0 lets `signs train` choose.",
        ),
        "precision": Param(
            "fp32",
            type="string",
            enum=["fp32", "fp16", "int8", "auto"],
            title="Precision",
            description="Of the exported network; auto measures all three and takes the fastest that is still right.",
        ),
        "dry_run": Param(
            False, type="boolean", title="Dry run", description="Go as far as the verdict of the gate; publish nothing."
        ),
        "force": Param(
            False,
            type="boolean",
            title="Force",
            description="Train also where the published version learned from this data; the gate decides all the same.",
        ),
        "if_unclear": Param(
            "roll back",
            type="string",
            enum=["roll back", "keep"],
            title="If the watch cannot tell",
            description="Too few requests, or no Prometheus: put the champion before back, or keep the new one.",
        ),
        "reason": Param(
            None,
            type=["string", "null"],
            maxLength=300,
            title="Reason",
            description="Goes into the history of promotions; without one it is by hand, on schedule or for new data.",
        ),
    }
