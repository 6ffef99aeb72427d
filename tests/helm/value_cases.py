"""Sets of values that between them reach every branch of the chart's templates."""

from typing import Any

import yaml

from tests.helm.helm_chart import CHART, NEWEST, OLDEST

Values = dict[str, Any]

PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n"
PROMETHEUS = "http://prometheus-operated.monitoring:9090"
# The least that the chart asks for, with a key that does not differ from one rendering to the next.
LEAST: Values = {
    "models": {"versions": {"sign_classifier": 1}, "source": {"pvc": {"claimName": "models"}}},
    "gpu": {"enabled": True},
    "triton": {"restrictedApi": {"existingSecret": "admin"}},
}


def _with(**more: Any) -> Values:
    return {**LEAST, **more}


def _triton(**more: Any) -> Values:
    return {**LEAST["triton"], **more}


def _models(versions: Any = None, **more: Any) -> Values:
    return {"versions": versions or {"sign_classifier": 1}, **more}


THREE = {"sign_classifier": [1, 3], "sign_detector": 2, "sign_recognizer": 2}
# Of every version that a case asks of a registry.
DIGESTS = {
    "sign_classifier": {number: "sha256:" + str(number) * 64 for number in (1, 3, 4)},
    "sign_detector": {2: "sha256:" + "a" * 64},
    "sign_recognizer": {2: "sha256:" + "b" * 64},
}
ON = {"enabled": True}
POD: Values = {
    "extraEnv": [
        {"name": "A", "value": "b"},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    ],
    "extraEnvFrom": [{"secretRef": {"name": "more"}}, {"prefix": "P_", "configMapRef": {"name": "settings"}}],
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "annotations": {"on": "deployment"},
    "podAnnotations": {"on": "pod"},
    "podLabels": {"team": "roads"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [
        {"key": "only", "operator": "Equal", "value": "signs", "effect": "NoExecute", "tolerationSeconds": 5}
    ],
    "affinity": {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"noisy": "yes"}}}
            ]
        }
    },
    "priorityClassName": "high",
    "service": {"type": "LoadBalancer", "annotations": {"on": "service"}},
    "disruptionBudget": {"maxUnavailable": "20%"},
}
MONITORING: Values = {
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "rules": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboards": {"enabled": True, "annotations": {"grafana_folder": "Signs"}},
}
RUNNING: Values = {"state": "running", "versions": {"sign_classifier": 2}, "analysis": {"prometheusUrl": PROMETHEUS}}

# Values by name; those that need another Kubernetes than the oldest stand in KUBE.
CASES: dict[str, Values] = {
    "least": LEAST,
    "own secret": {"models": LEAST["models"], "gpu": LEAST["gpu"]},
    "cpu": _with(gpu={"enabled": False}),
    "int8": _with(gpu={"enabled": False}, triton=_triton(int8=True)),
    "IPv6": _with(ipFamily="IPv6"),
    "pods": _with(
        triton=_triton(
            **POD,
            logVerbose=1,
            grpcThreads=8,
            configuration="cpu-8",
            grpcConnectionAgeSeconds=5,
            extraArgs=["--pinned-memory-pool-byte-size=0"],
        ),
        gateway={
            **POD,
            "settings": {"LOG_LEVEL": "debug", "MAX_UPLOAD": 8, "TLS": True, "NEED": "other"},
            "tritonUrl": "other:8001",
        },
        gpu={
            "enabled": True,
            "count": 2,
            "runtimeClassName": "nvidia",
            "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L4"},
        },
        commonLabels={"cost-centre": "42"},
        tests={"nodeSelector": POD["nodeSelector"], "tolerations": POD["tolerations"]},
        image={
            "registry": "registry.example.com:5000/signs",
            "pullPolicy": "Always",
            "pullSecrets": [{"name": "registry"}],
        },
        nameOverride="roads",
    ),
    "pvc, signed": _with(
        models=_models(THREE, source={"pvc": {"claimName": "models", "path": "production/"}}, publicKey=PUBLIC_KEY)
    ),
    "s3": _with(
        models=_models(
            THREE,
            source={"type": "bucket", "bucket": {"url": "s3://models/signs", "envSecret": "bucket"}},
            publicKeyConfigMap="release-key",
            publicKeyConfigMapKey="key.pub",
            pull={
                "image": {"repository": "pull", "digest": "sha256:" + "0" * 64},
                "extraEnv": [{"name": "AWS_CA_BUNDLE", "value": "/authority/ca.crt"}],
                "extraVolumeMounts": [{"name": "authority", "mountPath": "/authority", "readOnly": True}],
            },
        ),
        triton=_triton(extraVolumes=[{"name": "authority", "configMap": {"name": "authority"}}]),
    ),
    "gcs": _with(
        models=_models(source={"type": "bucket", "bucket": {"url": "gs://models/signs", "fileSecret": "account"}}),
        serviceAccount={"create": False, "name": "models"},
        commonLabels={"release": "mine"},
        monitoring=MONITORING,
    ),
    "registry": _with(
        models=_models(
            {"sign_classifier": 3, "sign_detector": [2], "sign_recognizer": 2},
            source={
                "type": "oci",
                "oci": {"repository": "registry.example.com/models", "digests": DIGESTS, "pullSecret": "registry"},
            },
            publicKey=PUBLIC_KEY,
        ),
        canary={"state": "running", "versions": {"sign_classifier": 4}},
    ),
    "openshift": _with(
        models=_models(
            source={"type": "oci", "oci": {"repository": "registry:5000/models", "digests": DIGESTS, "plainHttp": True}}
        ),
        securityContext={"runAsUser": None, "runAsGroup": None},
        networkPolicy={"dnsPorts": [5353]},
    ),
    "image": _with(
        models=_models(
            source={"type": "image", "image": {"repository": "models/signs", "tag": "2026-11", "path": "repo"}}
        )
    ),
    "open": _with(
        triton=_triton(
            restrictedApi={"enabled": False}, disruptionBudget={"enabled": False}, spread={"enabled": False}
        ),
        gateway={"enabled": False},
        networkPolicy={"enabled": False},
        tests={"enabled": False},
        serviceAccount={"create": False},
        fullnameOverride="signs",
    ),
    "hpa": _with(autoscaling={"type": "hpa"}, monitoring=MONITORING),
    "keda": _with(autoscaling={"type": "keda", "keda": {"prometheusUrl": PROMETHEUS}}, monitoring=MONITORING),
    "engines": _with(engineBuilder={"enabled": True, "storageClassName": "fast"}),
    "engines, own claim": _with(engineBuilder={"enabled": True, "existingClaim": "engines"}),
    "tracing": _with(
        triton=_triton(
            tracing={
                "enabled": True,
                "url": "https://otel.example.com/v1/traces",
                "attributes": {"deployment.environment": "x"},
            }
        )
    ),
    "ingress": _with(
        ingress={"enabled": True, "className": "nginx", "host": "a.example.com", "grpcHost": "b.example.com"},
        networkPolicy={
            "clientsFrom": [{"namespaceSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
            "extraEgress": [
                {"to": [{"ipBlock": {"cidr": "10.2.0.0/16"}}], "ports": [{"port": 443, "protocol": "TCP"}]}
            ],
        },
    ),
    "route": _with(
        route={
            "enabled": True,
            "host": "a.example.com",
            "grpcHost": "b.example.com",
            "parentRefs": [{"name": "public"}],
        },
        gateway={"enabled": False},
    ),
    "canary by replicas": _with(canary=RUNNING, monitoring=MONITORING),
    "canary by route": _with(
        canary={**RUNNING, "split": "route", "replicas": 3},
        route={
            "enabled": True,
            "host": "a.example.com",
            "grpcHost": "b.example.com",
            "createGateway": {"enabled": True, "className": "envoy"},
        },
        monitoring=MONITORING,
        gateway={"enabled": False},
    ),
    "canary by a controller": _with(
        models=_models(THREE, source=LEAST["models"]["source"]),
        canary={"analysis": {"prometheusUrl": PROMETHEUS, "argoRollouts": ON, "flagger": ON}},
        monitoring={**MONITORING, "shared": False},
    ),
    "promoted": _with(canary={"state": "promoted", "versions": {"sign_classifier": 2}}),
    **{
        f"example {path.stem}": yaml.safe_load(path.read_text())
        for path in sorted((CHART / "examples").glob("*.yaml"))
        if path.stem != "prometheus-adapter"
    },
}
KUBE = {"image": "1.31.0"}


def kube_of(case: str) -> str:
    """Returns the Kubernetes that a case is rendered for."""
    return KUBE.get(case, OLDEST)


def kubes_of(case: str) -> list[str]:
    """Returns the versions of Kubernetes that must take what a case renders, as 1.29."""
    first, last = (int(version.split(".")[1]) for version in (kube_of(case), NEWEST))
    return [f"1.{minor}" for minor in range(first, last + 1)]
