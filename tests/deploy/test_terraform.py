"""The Terraform modules. The provider of AWS cannot be had without its registry, so what needs it is not run: the syntax is that of
Terraform's own parser, and what the service's module makes of the template is evaluated."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = ROOT / "deploy/terraform"
FUNCTIONS = ["create", "load", "save", "renew", "clear", "list", "revoke", "authorize"]

pytestmark = pytest.mark.skipif(shutil.which("terraform") is None, reason="there is no terraform")


def terraform(folder, *arguments):
    done = subprocess.run(["terraform", *arguments], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_modules_are_in_terraforms_format():
    terraform(MODULES, "fmt", "-check", "-recursive")


def test_the_table_is_that_of_the_sam_template():
    module = (MODULES / "table/main.tf").read_text()
    for line in (
        r'billing_mode += "PAY_PER_REQUEST"',
        r'hash_key += "id"',
        r'attribute_name = "expires"\n +enabled += true',
        r"point_in_time_recovery \{\n +enabled = true",
        r"prevent_destroy = true",
        r'"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"',
    ):
        assert re.search(line, module), line


def test_the_service_gets_the_template_with_its_zips_in_the_bucket(tmp_path):
    template = (ROOT / "template.yaml").read_text()
    packaged = re.sub(r"CodeUri: functions/(\w+)", r"CodeUri: \1.zip", template)
    release = tmp_path / "release"
    release.mkdir()
    (release / "template.yaml").write_text(packaged)
    for name in FUNCTIONS:
        (release / f"{name}.zip").write_text(name)
    module = (MODULES / "service/main.tf").read_text()
    without_provider = re.sub(r'^(terraform|resource "aws_\w+" "\w+") \{.*?^\}\n', "", module, flags=re.M | re.S)
    without_provider = re.sub(r'^output "outputs" \{.*?^\}\n', "", without_provider, flags=re.M | re.S)
    made = 'output "made" {\n  value = { template = join("\\n", local.lines), keys = local.keys }\n}\n'
    (tmp_path / "main.tf").write_text(without_provider + made)
    terraform(tmp_path, "init", "-input=false")
    terraform(tmp_path, "apply", "-auto-approve", "-input=false", f"-var=release={release}", "-var=bucket=some-bucket")
    output = json.loads(terraform(tmp_path, "output", "-json", "made"))
    keys, made = output["keys"], output["template"]
    assert sorted(keys) == sorted(f"{name}.zip" for name in FUNCTIONS)
    expected = re.sub(r"CodeUri: (\w+\.zip)", lambda found: f"CodeUri: s3://some-bucket/{keys[found[1]]}", packaged)
    assert made == expected and made.count("s3://some-bucket/sessions/") == template.count("CodeUri: functions/")
