#!/bin/bash
# kubernetes.sh - docker/kubernetes as far as it can be checked without a cluster: Kustomize builds it, with both ways of
# scaling; every object is what Kubernetes' schemas allow; what one object says of another is there.
#
#   usage: kubernetes.sh NASFARM SOURCE         exit 77: there is no kubectl, or no yaml module for python3 (it says so)
#
# The schemas are those of kubernetes-validate, where that is installed (pip install kubernetes-validate).
set -euo pipefail
nasfarm=$1 source=$2
# shellcheck disable=SC2034  # kit.sh says it
test=kubernetes.sh
# shellcheck source=tests/kit.sh
. "$(dirname "$0")/kit.sh"
command -v kubectl >/dev/null || not_tested "there is no kubectl here"
python3 -c 'import yaml' 2>/dev/null || not_tested "there is no yaml module for python3 here"

cp -r "$source/docker/kubernetes" "$dir/farm"
rm -rf "$dir/farm/keys"
"$nasfarm" keygen "$dir/farm/keys" >/dev/null
build() { kubectl kustomize "$dir/farm" >"$dir/$1.yaml" 2>"$dir/$1.log" || fail "Kustomize does not build $1"; }
build none
for scale in scale-keda scale-hpa; do
    printf 'components: [%s]\n' $scale >>"$dir/farm/kustomization.yaml"
    build $scale
    sed -i '$d' "$dir/farm/kustomization.yaml"
    ! grep -q '^  replicas: 4' "$dir/$scale.yaml" || fail "with $scale, two own the number of workers"
done

# What one object names of another is there, and a drain ends before its pod is killed.
python3 - "$dir"/none.yaml >"$dir/objects.log" 2>&1 <<'END' || fail "the objects do not fit together"
import sys, yaml
objects = [o for o in yaml.safe_load_all(open(sys.argv[1])) if o]
named = {(o["kind"], o["metadata"]["name"]) for o in objects}
print(len(objects), "objects")
pods = {o["metadata"]["name"]: o["spec"]["template"] for o in objects if "template" in o.get("spec", {})}
assert set(pods) == {"broker", "controller", "worker"}, pods
for name, pod in pods.items():
    spec = pod["spec"]
    container, = spec["containers"]
    volumes = {v["name"]: v for v in spec.get("volumes", [])}
    claims = {c["metadata"]["name"] for o in objects if o["metadata"]["name"] == name
              for c in o["spec"].get("volumeClaimTemplates", [])}
    for mount in container["volumeMounts"]:
        assert mount["name"] in volumes or mount["name"] in claims, (name, mount)
    for v in volumes.values():
        if "secret" in v:
            assert ("Secret", v["secret"]["secretName"]) in named, v
            assert v["secret"]["defaultMode"] == 0o440, v
        if "configMap" in v:
            assert ("ConfigMap", v["configMap"]["name"]) in named, v
    for source in container.get("envFrom", []):
        assert ("ConfigMap", source["configMapRef"]["name"]) in named, source
    options = container["command"] + container.get("args", [])
    assert name != "worker" or "--drain-timeout" in options, options
    assert name != "controller" or {"--continue", "--stay"} <= set(options), options  # whatever ends is started again
    if "--drain-timeout" in options:
        assert int(options[options.index("--drain-timeout") + 1]) < spec["terminationGracePeriodSeconds"]
for o in objects:
    selector = o.get("spec", {}).get("selector")
    if o["kind"] in ("Service", "PodDisruptionBudget"):
        selector = selector.get("matchLabels", selector)
        assert any(selector.items() <= p["metadata"]["labels"].items() for p in pods.values()), o
END
if command -v kubernetes-validate >/dev/null; then
    for made in none scale-hpa; do
        kubernetes-validate --strict "$dir/$made.yaml" >"$dir/validate.log" 2>&1 || fail "Kubernetes' schemas do not allow $made"
    done
    echo "schemas: $(grep -c '^kind:' "$dir/none.yaml") objects, and the autoscaler, are allowed"
else
    echo "kubernetes.sh: NOT TESTED against Kubernetes' schemas: there is no kubernetes-validate here" >&2
fi
echo "1 passed, 0 failed"
