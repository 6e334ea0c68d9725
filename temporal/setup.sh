#!/usr/bin/env bash
# Prepares an external Temporal server for Cattery: its namespace and search attributes. Safe to
# repeat. Needs the `temporal` command; TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE say where.
#
# The schedules (the sweep) are made by the workers themselves.
set -euo pipefail

namespace="${TEMPORAL_NAMESPACE:-default}"
address=(--address "${TEMPORAL_ADDRESS:-127.0.0.1:7233}")
readonly RETENTION=7d
readonly SEARCH_ATTRIBUTES=(
  CatteryHarnessId=Keyword
  CatteryPhase=Keyword
  CatteryProjectId=Keyword
  CatterySessionId=Keyword
  CatteryUserId=Keyword
)

if ! temporal operator namespace describe "${address[@]}" --namespace "$namespace" >/dev/null 2>&1; then
  temporal operator namespace create "${address[@]}" --namespace "$namespace" --retention "$RETENTION"
fi
known="$(temporal operator search-attribute list "${address[@]}" --namespace "$namespace" --output json)"
for pair in "${SEARCH_ATTRIBUTES[@]}"; do
  name="${pair%=*}"
  if ! grep -q "\"$name\"" <<<"$known"; then
    temporal operator search-attribute create "${address[@]}" --namespace "$namespace" \
      --name "$name" --type "${pair#*=}"
  fi
done
echo "The namespace $namespace is ready for Cattery."
