"""Renders each folder given as an argument with `kubectl kustomize`, validates what comes out strictly against the schemas of
three minor versions of Kubernetes, and prints all of it as JSON: {folder: [object, ...]}."""

import json
import os
import shutil
import subprocess
import sys

import kubernetes_validate
import yaml

VERSIONS = ["1.35", "1.36", "1.37"]
# Kinds of operators, whose schemas the package does not have.
CUSTOM = {"monitoring.coreos.com/v1", "keda.sh/v1alpha1"}


def kubectl():
    # Beside this interpreter, or in the `bin` of a plain folder of packages.
    folders = [os.path.dirname(sys.executable)]
    folders += [os.path.join(path, "bin") for path in os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return shutil.which("kubectl", path=os.pathsep.join(folders)) or sys.exit("there is no kubectl")


def rendered(folder):
    result = subprocess.run([kubectl(), "kustomize", folder], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{folder}: {result.stderr}")
    return [part for part in yaml.safe_load_all(result.stdout) if part]


def main():
    objects = {}
    for folder in sys.argv[1:]:
        objects[folder] = rendered(folder)
        for part in objects[folder]:
            if part["apiVersion"] in CUSTOM:
                continue
            for version in VERSIONS:
                try:
                    kubernetes_validate.validate(part, version, strict=True)
                except Exception as error:
                    name = part["metadata"]["name"]
                    sys.exit(f"{folder}: {part['kind']} {name} against {version}: {error}")
    json.dump(objects, sys.stdout)


main()
