#!/bin/sh
# Writes the gRPC stubs from proto/chancery/v1 into the package, or into the directory given.
# Needs grpcio-tools of the version that pyproject.toml pins; PYTHON names the interpreter that has it.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
proto="$here/../../proto"
out=${1:-"$here/src/chancery/_generated"}
package="$out/chancery/v1"

mkdir -p "$package"
rm -f "$package"/*_pb2.py "$package"/*_pb2.pyi "$package"/*_pb2_grpc.py
(cd "$proto" && "${PYTHON:-python3}" -m grpc_tools.protoc -I . \
    --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" chancery/v1/*.proto)

# protoc takes `chancery.v1` for a top-level package; here it lies inside `chancery._generated`.
for file in "$package"/*_pb2.py "$package"/*_pb2.pyi "$package"/*_pb2_grpc.py; do
    sed 's/^from chancery\.v1 import/from chancery._generated.chancery.v1 import/' "$file" > "$file.new"
    mv "$file.new" "$file"
done
touch "$out/__init__.py" "$out/chancery/__init__.py" "$package/__init__.py"
