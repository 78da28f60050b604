#!/bin/sh
# Start the Prefect server with the database's password from a file, so that it stands in no file of Compose and no process list.
set -eu
password=$(python -c 'import sys, urllib.parse; print(urllib.parse.quote(open(sys.argv[1]).read().strip(), safe=""))' "${PASSWORD_FILE:-/run/secrets/database_password}")
PREFECT_API_DATABASE_CONNECTION_URL="postgresql+asyncpg://prefect:$password@${DATABASE_HOST:-database}:5432/prefect"
export PREFECT_API_DATABASE_CONNECTION_URL
exec prefect server start --host 0.0.0.0 --port 4200
