#!/bin/bash
# MLflow's server for the runs of many machines, until it is stopped:
#   docs/gpu_servers/mlflow_server.sh FOLDER [PORT] [HOST]
# FOLDER, on a local disk, keeps its database and files. It asks for no password: whoever reaches
# the port reads and writes. So only this machine does, unless HOST is given: the address at which
# the study's machines reach this one, and nobody else; 0.0.0.0 is all of them. Only requests made to
# this host's names are answered, and usage statistics are off.
set -euo pipefail
mkdir -p "$1"
folder=$(realpath "$1") port=${2-5000} host=${3-127.0.0.1}
export MLFLOW_DISABLE_TELEMETRY=true
database=sqlite:///$folder/mlflow.db
# Made before anybody asks: jobs that start together would each try to make it.
[[ -e $folder/mlflow.db ]] || MLFLOW_TRACKING_URI=$database mlflow experiments create \
    --experiment-name coala_kedro --artifact-location mlflow-artifacts:/coala_kedro
exec mlflow server --host "$host" --port "$port" --workers 2 \
    --allowed-hosts "localhost:$port,127.0.0.1:$port,$host:$port,$(hostname):$port,$(hostname -f):$port" \
    --backend-store-uri "$database" --artifacts-destination "$folder/artifacts"
