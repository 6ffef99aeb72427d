"""The parameters of a retraining, which the trigger form shows and checks."""

from airflow.sdk import Param

from retraining.settings import MOST_EPOCHS, SPEC, TRAINED, Settings


def parameters(settings: Settings) -> dict[str, Param]:
    """Returns the parameters with their defaults from the settings; scheduled runs use the defaults."""
    return {
        "model": Param(
            "sign_classifier",
            type="string",
            enum=["sign_classifier", "sign_detector"],
            title="Model",
            description="The model to retrain.",
        ),
        "data": Param(
            list(settings.data),
            type="array",
            items={"type": "string", "pattern": TRAINED},
            minItems=1,
            uniqueItems=True,
            title="Training data",
            description="gtsrb=, gtsdb=, images=, coco= or yolo=PATH (folder or zip), or synthetic=N; "
            "for the detector whole scenes: gtsdb=, coco= or yolo=PATH.",
        ),
        "feedback": Param(
            settings.feedback or None,
            type=["string", "null"],  # the form does not start a run whose string is empty
            pattern=r"^(\S.*)?$",
            title="Feedback",
            description="Folder of users' corrections, used for training once it has entries; empty for none.",
        ),
        "evaluation": Param(
            settings.evaluation,
            type="string",
            pattern=SPEC,
            title="Evaluation set",
            description="Data for comparing challenger and champion; keep it frozen.",
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
            description="Of the exported network; auto takes the fastest of the three that passes its checks.",
        ),
        "dry_run": Param(
            False, type="boolean", title="Dry run", description="Stop after the verdict of the gate; publish nothing."
        ),
        "force": Param(
            False,
            type="boolean",
            title="Force",
            description="Train even if the published version was trained on this data; the gate still decides.",
        ),
        "other_classes": Param(
            False,
            type="boolean",
            title="Other classes",
            description="Allow data with other classes than the champion's; the gate then applies only its absolute "
            "limits. Afterwards retrain the other network and export the recognizer again.",
        ),
        "if_unclear": Param(
            "roll back",
            type="string",
            enum=["roll back", "keep"],
            title="If the watch is unclear",
            description="With too few requests or no Prometheus: restore the previous champion, or keep the new one.",
        ),
        "reason": Param(
            None,
            type=["string", "null"],
            maxLength=300,
            title="Reason",
            description="For the history of promotions; the default is by hand, on schedule or for new data.",
        ),
    }
