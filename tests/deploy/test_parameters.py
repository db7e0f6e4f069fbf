"""Parameters that CloudFormation accepts start the functions; the template refuses the others before anything is created.

The template's own constraints are evaluated here: AllowedValues, AllowedPattern, MinValue, MaxValue and Rules.
"""

import os
import re
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]
TEMPLATE = yaml_parse((ROOT / "template.yaml").read_text())
DEFAULTS = {name: str(parameter.get("Default", "")) for name, parameter in TEMPLATE["Parameters"].items()}


def evaluate(expression, values):
    """A rule's function (CloudFormation User Guide, "Rule-specific intrinsic functions"), as far as the template uses them."""
    if not isinstance(expression, dict):
        return expression
    ((function, argument),) = expression.items()
    match function:
        case "Ref":
            return values[argument]
        case "Fn::Equals":
            one, other = (evaluate(part, values) for part in argument)
            return one == other
        case "Fn::Not":
            return not evaluate(argument[0], values)
        case "Fn::And":
            return all(evaluate(part, values) for part in argument)
        case "Fn::Or":
            return any(evaluate(part, values) for part in argument)
    raise AssertionError(function)


def is_allowed(parameter, value):
    """Whether a value meets the constraints of its parameter."""
    if "AllowedValues" in parameter and value not in map(str, parameter["AllowedValues"]):
        return False
    if parameter["Type"] == "Number":
        number = float(value)
        return parameter.get("MinValue", number) <= number <= parameter.get("MaxValue", number)
    values = value.split(",") if parameter["Type"] == "CommaDelimitedList" else [value]
    return all(re.fullmatch(parameter.get("AllowedPattern", "(?s).*"), value) for value in values)


def accepts(**given):
    """Whether CloudFormation would begin to create the stack."""
    values = {**DEFAULTS, **given}
    if not all(is_allowed(TEMPLATE["Parameters"][name], value) for name, value in values.items()):
        return False
    return all(
        evaluate(assertion["Assert"], values)
        for rule in TEMPLATE["Rules"].values()
        if evaluate(rule.get("RuleCondition", True), values)
        for assertion in rule["Assertions"]
    )


def environment(**given):
    """The variables of the functions with these parameters."""
    values = {**DEFAULTS, "SessionTable": "a-generated-name", **given}
    variables = {}
    for name, value in TEMPLATE["Globals"]["Function"]["Environment"]["Variables"].items():
        if isinstance(value, str):
            variables[name] = value
        elif "Ref" in value:
            variables[name] = values[value["Ref"]]
        elif "Fn::Join" in value:
            variables[name] = values[value["Fn::Join"][1]["Ref"]]
        elif values["DynamoDbEndpointUrl"]:
            variables[name] = values["DynamoDbEndpointUrl"]
    return variables


def start(**given):
    """The first error of a function that is started with these parameters: it finds no Runtime API, if nothing else."""
    name = "create"
    if folder := os.environ.get("SESSION_BOOTSTRAPS"):
        program = ROOT / folder / name / "bootstrap"
    else:
        subprocess.run(["cargo", "build", "--quiet", "--package", name], cwd=ROOT, check=True)
        program = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / name
    lambdas = {
        "AWS_LAMBDA_FUNCTION_NAME": name, "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1", "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
    }
    done = subprocess.run([program], env={**lambdas, **environment(**given)}, capture_output=True, text=True, timeout=30)
    return done.stderr


def assert_starts(**given):
    error = start(**given)
    assert not re.search(r"SESSION_|AWS_ENDPOINT|panicked", error), error
    assert "onnect" in error, error  # to the Runtime API


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"MaxTimeoutSeconds": "60"},
        {"MaxTimeoutSeconds": "1", "TouchIntervalSeconds": "315360000"},
        {"IdleTimeoutSeconds": "315360000", "AbsoluteTimeoutSeconds": "1"},
        {"MaxDataBytes": "2", "IdBytes": "16"},
        {"MaxDataBytes": "408576", "IdBytes": "128"},
        {"NotBefore": "2024-02-29T23:59:59+14:00"},
        {"NotBefore": "2000-02-29T00:00:00Z", "LogLevel": "ERROR"},
        {"AllowedOrigins": "https://a.example:65535,http://localhost:1,http://127.0.0.1"},
        {"IdTransport": "cookie", "AuthorizationType": "NONE", "CookieSameSite": "lax", "ClearSiteData": "true"},
        {"DynamoDbEndpointUrl": "http://dynamodb:8000"},
        {"TableName": "abc"},
        {"MaxPerSubject": "1", "AtMaxPerSubject": "end-oldest", "AuthorizerMaxDataBytes": "0"},
        {"SealData": "true"},
        {"SealData": "migrate"},
        {"MaxPerSubject": "1000", "SubjectNamespace": "shop-1", "AuthorizerMaxDataBytes": "262144"},
        {"LabelKey": "k" * 32},
        {"KmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"},
    ],
    ids=str,
)
def test_accepted_parameters_start_the_functions(given):
    assert accepts(**given)
    assert_starts(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"AuthorizationType": "NONE"},  # anonymous callers would choose the timeouts of their sessions
        {"IdleTimeoutSeconds": "7200.5"},
        {"MaxDataBytes": "1000.0"},
        {"MaxDataBytes": "1"},
        {"MaxDataBytes": "408577"},
        {"IdBytes": "15"},
        {"IdBytes": "129"},
        {"TouchIntervalSeconds": "-1"},
        {"MaxTimeoutSeconds": "0"},
        {"MaxTimeoutSeconds": "315360001"},
        {"IdleTimeoutSeconds": "315360001"},
        {"AbsoluteTimeoutSeconds": "315360001"},
        {"TouchIntervalSeconds": "315360001"},
        {"NotBefore": "2026-13-45T99:99:99Z"},
        {"NotBefore": "2026-02-29T00:00:00Z"},
        {"NotBefore": "2026-04-31T00:00:00Z"},
        {"NotBefore": "2026-11-22T24:00:00Z"},
        {"NotBefore": "1969-12-31T23:59:59Z"},
        {"NotBefore": "2026-11-22"},
        {"AllowedOrigins": "https://a.example:99999"},
        {"AllowedOrigins": "https://a.example:0"},
        {"AllowedOrigins": "*"},
        {"KmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:alias/sessions"},
        {"DynamoDbEndpointUrl": "http://"},
        {"DynamoDbEndpointUrl": "http://host:99999"},
        {"TableName": "ab"},
        {"LogLevel": "info"},
        {"MaxPerSubject": "0"},
        {"MaxPerSubject": "1001"},
        {"MaxPerSubject": ""},
        {"SubjectNamespace": "a b"},
        {"LabelKey": "k" * 31},
        {"AtMaxPerSubject": "end_oldest"},
        {"AuthorizerMaxDataBytes": "262145"},
        {"OptionalAuthorizer": "yes"},
        {"SealData": "yes"},
    ],
    ids=str,
)
def test_parameters_that_cannot_work_do_not_deploy(given):
    assert not accepts(**given)


def test_a_not_before_in_the_future_is_refused_at_start():
    """CloudFormation cannot compare it with the time. A session that is created now would be dead at once."""
    future = (datetime.now(timezone.utc) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert accepts(NotBefore=future)
    error = start(NotBefore=future)
    assert "SESSION_NOT_BEFORE must be a moment that is not in the future" in error, error
