#!/usr/bin/env bash
# The tracking server: runs in PostgreSQL, artifacts in a folder or on S3, nothing without a password.
#
#   MLFLOW_ADMIN_PASSWORD     of the user `admin`: 12 characters or more, no default
#   MLFLOW_BACKEND_STORE_URI  runs and users: postgresql://USER:PASSWORD@HOST/DATABASE; default the database
#                             `mlflow` of the PostgreSQL on this computer, as the user who starts the server
#   MLFLOW_ARTIFACTS          plots and models: a folder or s3://BUCKET/PATH; default ./mlflow-artifacts
#   MLFLOW_HOST, MLFLOW_PORT  where it listens; default 127.0.0.1 and 5000
#   MLFLOW_WORKERS            processes that answer, about 300 MB each; default 2
set -euo pipefail

refuse() {
  echo "$0: $*" >&2
  exit 2
}

password=${MLFLOW_ADMIN_PASSWORD:-}
store=${MLFLOW_BACKEND_STORE_URI:-postgresql:///mlflow?host=/var/run/postgresql}
artifacts=${MLFLOW_ARTIFACTS:-mlflow-artifacts}

[ -n "$password" ] || refuse "set MLFLOW_ADMIN_PASSWORD to the password that the user admin shall have"
[ "$password" != password1234 ] || refuse "MLFLOW_ADMIN_PASSWORD is the one that old MLflows came with: choose another"
[ "${#password}" -ge 12 ] || refuse "MLFLOW_ADMIN_PASSWORD has ${#password} characters: MLflow wants 12 or more"
case $store in
  postgresql://* | postgresql+psycopg://*) store=postgresql+psycopg:${store#*:} ;;
  *) refuse "MLFLOW_BACKEND_STORE_URI is no PostgreSQL: give postgresql://USER:PASSWORD@HOST/DATABASE" ;;
esac
[[ $artifacts == *://* ]] || artifacts=$(mkdir -p "$artifacts" && cd "$artifacts" && pwd)

PATH=$PATH:$(dirname "$(realpath "$0")")/../.venv/bin
command -v mlflow > /dev/null || refuse "mlflow is not installed: pip install '.[server]' in humtune's folder"

# MLflow reads the address of its users from a file; the password in it is for us alone. % is doubled for its parser.
umask 077
MLFLOW_PORT=${MLFLOW_PORT:-5000}
config=${XDG_STATE_HOME:-$HOME/.local/state}/humtune/mlflow-$MLFLOW_PORT.ini
mkdir -p "$(dirname "$config")"
cat > "$config" << END
[mlflow]
database_uri = ${store//%/%%}
admin_username = admin
default_permission = READ
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
END
chmod 600 "$config"
umask 022

# All by the environment: what stands in a command can be read by everyone on the computer.
export MLFLOW_AUTH_CONFIG_PATH=$config MLFLOW_AUTH_ADMIN_PASSWORD=$password MLFLOW_BACKEND_STORE_URI=$store
export MLFLOW_HOST=${MLFLOW_HOST:-127.0.0.1} MLFLOW_PORT MLFLOW_WORKERS=${MLFLOW_WORKERS:-2}
export MLFLOW_ARTIFACTS_DESTINATION=$artifacts MLFLOW_SERVE_ARTIFACTS=true
export MLFLOW_FLASK_SERVER_SECRET_KEY=${MLFLOW_FLASK_SERVER_SECRET_KEY:-$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')}
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=${MLFLOW_SERVER_ENABLE_JOB_EXECUTION:-false} MLFLOW_DISABLE_TELEMETRY=true
# A batch of metrics holds two connections at once: with few of them, several searches would wait for each other.
export MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW=${MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW:-25}
unset MLFLOW_ADMIN_PASSWORD MLFLOW_TRACKING_URI
exec mlflow server --app-name basic-auth
