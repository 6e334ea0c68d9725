#!/usr/bin/env bash
# Installs or upgrades Cattery in the cluster that kubectl speaks to, and waits until it runs. Safe to
# repeat; `make kind-up` and the cluster tests call it.
#
#   scripts/deploy.sh OVERLAY [NAME=VALUE...]    such as k8s/overlays/kind, with settings to add
#
#   TAG=…, REGISTRY=…    images to use (make images); without both those that the overlay names
#   RESTART=1            start new pods even if nothing changed, for images built again under one tag
#   PATIENCE=300         seconds until everything has to be ready
#   ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL, OPENAI_API_KEY, OPENAI_BASE_URL
#                        are put into the gateway's Secret where one is set
#
# Where the overlay brings its own PostgreSQL, the passwords are made at random the first time and kept
# in Secrets. Otherwise those Secrets have to be there: docs/operations.md says how to make them.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly SYSTEM=cattery-system
readonly OURS=app.kubernetes.io/part-of=cattery
readonly MODEL_VARIABLES=(ANTHROPIC_API_KEY ANTHROPIC_BASE_URL OPENAI_API_KEY OPENAI_BASE_URL)
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

say() { printf 'deploy: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

main() {
  [ -f "${1:-}/kustomization.yaml" ] || fail "name an overlay, such as k8s/overlays/kind"
  local overlay=$1
  shift
  check_cluster
  compose "$overlay" "$@"
  kubectl apply --server-side --field-manager cattery --force-conflicts --filename k8s/base/namespaces.yaml >/dev/null
  make_secrets
  local before
  before="$(kubectl --namespace "$SYSTEM" get deployments --selector "$OURS" --output name)"
  say "applying $overlay"
  kubectl apply --server-side --field-manager cattery --force-conflicts --filename "$folder/all.yaml" >"$folder/applied" ||
    fail "the cluster refused a part (its words stand above)"
  if [ -n "${RESTART:-}" ] && [ -n "$before" ]; then
    kubectl --namespace "$SYSTEM" rollout restart deployment --selector "$OURS" >/dev/null
  fi
  wait_until_ready
  say "ready after $SECONDS s"
}

check_cluster() {
  command -v kubectl >/dev/null || fail "kubectl is not installed. Install it, then repeat."
  kubectl version --request-timeout 10s >/dev/null 2>"$folder/words" ||
    fail "kubectl reaches no cluster: $(tail -n 1 "$folder/words"). Set KUBECONFIG or its context, then repeat."
  kubectl get crd sandboxes.agents.x-k8s.io >/dev/null 2>&1 ||
    fail "agent-sandbox is not installed in the cluster. Run: kubectl apply --server-side --kustomize k8s/agent-sandbox"
}

# compose OVERLAY NAME=VALUE...: write all manifests into $folder/all.yaml.
compose() {
  local overlay=$1 settings=("${@:2}")
  if [ -n "${TAG:-}" ]; then settings+=("CATTERY_K8S_IMAGE_TAG=$TAG"); fi
  if [ -n "${REGISTRY:-}" ]; then settings+=("CATTERY_K8S_IMAGE_REGISTRY=$REGISTRY"); fi
  if has_models || has_secret cattery-models; then settings+=("CATTERY_DEMO_MODEL=false"); fi
  {
    printf 'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n  - %s\n' \
      "$(relative_path "$overlay" "$folder")"
    if [ -n "${TAG:-}${REGISTRY:-}" ]; then
      printf 'images:\n  - name: cattery-server\n    newName: %scattery-server\n' "${REGISTRY:-}"
      if [ -n "${TAG:-}" ]; then printf '    newTag: "%s"\n' "$TAG"; fi
    fi
    printf 'configMapGenerator:\n'
    if [ -n "${REGISTRY:-}" ]; then
      printf '  - {name: cattery-sandbox-policy, namespace: cattery-sandboxes, behavior: merge, literals: ["imagePrefixes=%scattery-"], options: {disableNameSuffixHash: true}}\n' "$REGISTRY"
    fi
    printf '  - name: cattery-config\n    namespace: %s\n    behavior: merge\n    envs: [settings]\n' "$SYSTEM"
  } >"$folder/kustomization.yaml"
  printf '%s\n' ${settings[@]+"${settings[@]}"} >"$folder/settings"
  kubectl kustomize "$folder" >"$folder/all.yaml" || fail "$overlay cannot be put together (the words stand above)"
}

# relative_path PATH FOLDER: kustomize takes folders of others by relative paths only.
relative_path() {
  python3 -c 'import sys; from os.path import realpath, relpath; print(relpath(*map(realpath, sys.argv[1:])))' "$1" "$2"
}

has_models() {
  local name
  for name in "${MODEL_VARIABLES[@]}"; do
    if [ -n "${!name:-}" ]; then return 0; fi
  done
  return 1
}

make_secrets() {
  local password
  if grep -q 'name: cattery-postgres$' "$folder/all.yaml"; then
    if ! has_secret cattery-database; then
      password="$(random)"
      create_secret cattery-database password "$password" \
        url "postgresql://cattery:$password@cattery-postgres.$SYSTEM.svc.cluster.local:5432/cattery"
    fi
    has_secret cattery-api || create_secret cattery-api jwt-secret "$(random)"
    has_secret cattery-admin || create_secret cattery-admin password "${CATTERY_ADMIN_PASSWORD:-$(random)}"
  fi
  for name in cattery-database cattery-api; do
    has_secret "$name" || fail "the Secret $name is missing in $SYSTEM; docs/operations.md says how to make it"
  done
  if has_models; then put_models; fi
}

has_secret() { kubectl --namespace "$SYSTEM" get secret "$1" --output name >/dev/null 2>&1; }

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# create_secret NAME KEY VALUE...: by way of a file, so that no value stands in a list of processes.
create_secret() {
  local name=$1
  shift
  write_secret "$name" "$@" | kubectl create --filename - >/dev/null
  say "made the Secret $name"
}

write_secret() {
  printf 'apiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\n  namespace: %s\n' "$1" "$SYSTEM"
  printf '  labels: {app.kubernetes.io/name: cattery, app.kubernetes.io/part-of: cattery}\ndata:\n'
  shift
  while [ "$#" -gt 0 ]; do
    printf '  %s: %s\n' "$1" "$(printf '%s' "$2" | base64 | tr -d '\n')"
    shift 2
  done
}

# put_models: give the gateway the model keys of this shell; its pods read them when they start.
put_models() {
  local name pairs=() before after
  for name in "${MODEL_VARIABLES[@]}"; do
    if [ -n "${!name:-}" ]; then pairs+=("$name" "${!name}"); fi
  done
  before="$(version_of cattery-models)"
  write_secret cattery-models "${pairs[@]}" |
    kubectl apply --server-side --field-manager cattery --force-conflicts --filename - >/dev/null
  after="$(version_of cattery-models)"
  if [ "$before" != "$after" ] && kubectl --namespace "$SYSTEM" get deployment cattery-gateway >/dev/null 2>&1; then
    kubectl --namespace "$SYSTEM" rollout restart deployment/cattery-gateway >/dev/null
  fi
}

version_of() {
  kubectl --namespace "$SYSTEM" get secret "$1" --output 'jsonpath={.metadata.resourceVersion}' 2>/dev/null || true
}

wait_until_ready() {
  local end=$((SECONDS + ${PATIENCE:-300})) part left
  # In the order in which they need each other.
  for part in $(kubectl --namespace "$SYSTEM" get statefulsets,deployments \
    --selector "$OURS" --output name | sort -r); do
    left=$((end > SECONDS ? end - SECONDS : 1))
    say "waiting for ${part##*/}"
    kubectl --namespace "$SYSTEM" rollout status "$part" --timeout "${left}s" >/dev/null 2>&1 || {
      explain
      fail "${part##*/} is not ready after ${PATIENCE:-300} s; what the cluster says stands above"
    }
  done
}

explain() {
  local pod
  kubectl --namespace "$SYSTEM" get pods --output wide >&2 || true
  kubectl --namespace "$SYSTEM" get events --field-selector type=Warning --sort-by .lastTimestamp 2>/dev/null | tail -n 20 >&2 || true
  for pod in $(kubectl --namespace "$SYSTEM" get pods --output \
    'jsonpath={range .items[?(@.status.conditions[?(@.type=="Ready")].status!="True")]}{.metadata.name}{"\n"}{end}'); do
    say "the last lines of $pod:"
    kubectl --namespace "$SYSTEM" logs "$pod" --all-containers --tail 30 >&2 || true
  done
}

main "$@"
