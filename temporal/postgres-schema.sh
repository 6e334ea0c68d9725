#!/bin/sh
# Makes and upgrades the databases of the full Temporal server in the PostgreSQL of compose.yaml, with
# the tools of its release (image temporalio/admin-tools). Safe to repeat.
set -eu

SQL_PASSWORD="$(cat /run/secrets/database-password)"
export SQL_PASSWORD

# upgrade DATABASE SCHEMA
upgrade() {
  for step in "create" "setup-schema -v 0.0" \
    "update-schema -d /etc/temporal/schema/postgresql/v12/$2/versioned"; do
    # shellcheck disable=SC2086  # a step is several words
    temporal-sql-tool --plugin postgres12 --ep postgres --port 5432 --user cattery --db "$1" $step
  done
}

upgrade temporal temporal
upgrade temporal_visibility visibility
