"""Runs a step as a pod of the training image; imported only if SIGNS_RUN_ON is kubernetes."""

from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import Context
from kubernetes.client import models as k8s

from retraining.errors import StepError
from retraining.settings import Settings
from retraining.steps import Step
from retraining.tasks import RunFacts, airflow_errors, finish

# An exit code with an answer is not a failure of the pod; the answer is returned through the sidecar's file.
SCRIPT = """
answers=$1; shift
mkdir -p /airflow/xcom
signs "$@" > /tmp/answer; code=$?
case ",$answers," in *",$code,"*) ;; *) exit "$code" ;; esac
[ "$code" = 0 ] || [ -s /tmp/answer ] || exit "$code"
[ -s /tmp/answer ] || echo null > /tmp/answer
{ printf '{"answer": '; cat /tmp/answer; printf '}'; } > /airflow/xcom/return.json
"""
HOME = "/srv/signs"
# For both containers: a namespace that enforces the restricted pod security standard requires it.
NO_RIGHTS = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
USER = {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000}
# PyTorch's loaders pass batches through it, and Triton passes tensors to its Python models: the default of 64 MB is too
# small.
SHARED_MEMORY = "1Gi"


class SignsPod(KubernetesPodOperator):
    """Runs a step in a pod, with additional options of the operator."""

    def __init__(self, *, step: Step, settings: Settings, **options: Any) -> None:
        self.step, self.settings = step, settings
        claim = k8s.V1PersistentVolumeClaimVolumeSource(claim_name=settings.claim)
        secret = k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name=settings.env_secret))
        memory = k8s.V1EmptyDirVolumeSource(medium="Memory", size_limit=SHARED_MEMORY)
        asked = {settings.gpu_resource: str(settings.gpus)} if step.gpu and settings.gpus else {}
        super().__init__(
            image=settings.gate_image if step.gate else settings.image,
            name=f"signs-{step.name.replace('_', '-')}",
            namespace=settings.pods_namespace,
            cmds=["sh", "-c", SCRIPT, "signs"],
            labels={"app.kubernetes.io/part-of": "traffic-signs", "app.kubernetes.io/component": "retraining"},
            container_resources=k8s.V1ResourceRequirements(limits=asked, requests=asked) if asked else None,
            volumes=[
                k8s.V1Volume(name="signs", persistent_volume_claim=claim),
                k8s.V1Volume(name="shared-memory", empty_dir=memory),
            ],
            volume_mounts=[
                k8s.V1VolumeMount(name="signs", mount_path=HOME),
                k8s.V1VolumeMount(name="shared-memory", mount_path="/dev/shm"),
            ],
            env_from=[secret] if settings.env_secret else [],
            security_context=USER | {"seccompProfile": {"type": "RuntimeDefault"}},
            container_security_context=NO_RIGHTS,
            xcom_sidecar_container_security_context=NO_RIGHTS,
            automount_service_account_token=False,
            do_xcom_push=True,
            get_logs=True,
            # The failure message is the end of the command's log, not the pod's specification.
            termination_message_policy="FallbackToLogsOnError",
            log_pod_spec_on_failure=False,
            reattach_on_restart=True,  # a restarted scheduler finds the running pod instead of starting another
            on_finish_action="delete_succeeded_pod",
            startup_timeout_seconds=900,  # the cluster may have to start a node with a GPU
            **options,
        )

    def execute(self, context: Context) -> dict[str, Any]:
        """Runs the pod to its end and returns the facts of the step."""
        work = self.step.work(self.settings, RunFacts(context))
        with airflow_errors():
            self.arguments = [",".join(map(str, self.step.answers)), *next(work)]
        found = super().execute(context)
        with airflow_errors():
            if not isinstance(found, dict) or "answer" not in found:
                raise StepError("the pod has left no answer: read its log", final=False)
            return finish(work, found["answer"])
