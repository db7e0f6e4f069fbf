"""The template, expanded as CloudFormation gets it: routes, roles, table, settings."""

import json
import os
import re
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]
REGION = "us-east-1"

ROUTES = {
    "POST /session": "CreateFunction",
    "GET /session": "LoadFunction",
    "PUT /session": "SaveFunction",
    "POST /session/renew": "RenewFunction",
    "DELETE /session": "ClearFunction",
    "POST /session/list": "ListFunction",
    "POST /session/revoke": "RevokeFunction",
}
AUTHORIZERS = ("AuthorizeFunction", "AuthorizeOptionalFunction")
ACTIONS = {
    "Create": {"Fn::If": ["HasSubjects", ["dynamodb:PutItem", "dynamodb:UpdateItem"], ["dynamodb:PutItem"]]},
    "Load": ["dynamodb:GetItem", "dynamodb:UpdateItem"],
    "Save": ["dynamodb:GetItem", "dynamodb:UpdateItem"],
    "Renew": ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
    "Clear": ["dynamodb:UpdateItem"],
    "List": ["dynamodb:GetItem"],
    "Revoke": ["dynamodb:GetItem", "dynamodb:UpdateItem"],
    "Authorize": ["dynamodb:GetItem", "dynamodb:UpdateItem"],
    "AuthorizeOptional": ["dynamodb:GetItem", "dynamodb:UpdateItem"],
}
# moto leaves these out of the stack, so no test here covers their creation: it returns "not implemented" for the
# resources of the HTTP API. It also ignores the table's TimeToLiveSpecification.
IGNORED_BY_MOTO = {
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
    "AWS::ApiGatewayV2::Stage",
}
# These refer to the API and cannot be created without it.
NAMING_THEM = {"AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::Lambda::Permission"}


class ManagedPolicies:
    def load(self):
        return {}


@pytest.fixture(scope="session")
def template():
    """The template as written."""
    return yaml_parse((ROOT / "template.yaml").read_text())


@pytest.fixture(scope="session")
def expanded():
    """The template as SAM passes it to CloudFormation, with the code location that `sam package` would set."""
    template = yaml_parse((ROOT / "template.yaml").read_text())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/code.zip"
    os.environ["AWS_DEFAULT_REGION"] = REGION  # SAM requires a region but sends no request
    return transform(template, {}, ManagedPolicies())


def of_type(expanded, type):
    return {name: r["Properties"] for name, r in expanded["Resources"].items() if r["Type"] == type}


def test_each_route_invokes_its_own_function_and_no_other_route_exists(expanded):
    integrations = of_type(expanded, "AWS::ApiGatewayV2::Integration")
    reached = {}
    for route in of_type(expanded, "AWS::ApiGatewayV2::Route").values():
        name = re.fullmatch(r"integrations/\$\{(\w+)\}", route["Target"]["Fn::Sub"])[1]
        integration = integrations[name]
        assert integration["PayloadFormatVersion"] == "2.0"
        assert route["ApiId"] == integration["ApiId"] == {"Ref": "SessionApi"}
        function, attribute = integration["IntegrationUri"]["Fn::GetAtt"]
        assert attribute == "Arn"
        reached[route["RouteKey"]] = function
    assert reached == ROUTES
    kinds = {r["Type"] for r in expanded["Resources"].values() if r["Type"].startswith("AWS::ApiGateway")}
    assert kinds == IGNORED_BY_MOTO, "another kind of API resource could add a route"


def test_the_api_may_invoke_each_function_on_its_own_route_only(expanded):
    allowed = {}
    for permission in of_type(expanded, "AWS::Lambda::Permission").values():
        assert permission["Principal"] == "apigateway.amazonaws.com"
        assert permission["Action"] == "lambda:InvokeFunction"
        if permission["FunctionName"]["Ref"] in AUTHORIZERS:
            continue
        source = permission["SourceArn"]["Fn::Sub"].split(":${SessionApi}/*/")[1]
        allowed[source.replace("/", " /", 1)] = permission["FunctionName"]["Ref"]
    assert allowed == ROUTES


def test_the_apis_of_the_account_may_invoke_the_authorizers(expanded):
    account = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:"
    permissions = of_type(expanded, "AWS::Lambda::Permission").values()
    allowed = {p["FunctionName"]["Ref"]: p["SourceArn"]["Fn::Sub"] for p in permissions}
    assert {name: allowed[name] for name in AUTHORIZERS} == dict.fromkeys(AUTHORIZERS, f"{account}*/authorizers/*")
    outputs = expanded["Outputs"]
    assert outputs["AuthorizerArn"]["Value"] == {"Fn::GetAtt": ["AuthorizeFunction", "Arn"]}
    assert outputs["OptionalAuthorizerArn"]["Value"] == {"Fn::GetAtt": ["AuthorizeOptionalFunction", "Arn"]}
    optional = expanded["Resources"]["AuthorizeOptionalFunction"]["Properties"]["Environment"]["Variables"]
    assert optional["SESSION_AUTHORIZER_OPTIONAL"] == "true"


def test_what_exists_only_with_signed_calls_has_the_condition(expanded):
    assert expanded["Conditions"]["SignedCalls"] == {"Fn::Equals": [{"Ref": "AuthorizationType"}, "AWS_IAM"]}
    assert expanded["Conditions"]["HasOptionalAuthorizer"] == {"Fn::Equals": [{"Ref": "OptionalAuthorizer"}, "true"]}
    for name, resource in expanded["Resources"].items():
        expected = None
        if re.match("List|Revoke", name):
            expected = "SignedCalls"
        elif name.startswith("AuthorizeOptional"):
            expected = "HasOptionalAuthorizer"
        elif name == "TableKeyPolicy":
            expected = "HasKmsKey"
        assert resource.get("Condition") == expected, name


def test_every_route_uses_the_authorization_type_of_the_parameter(expanded):
    for route in of_type(expanded, "AWS::ApiGatewayV2::Route").values():
        assert route["AuthorizationType"] == {"Ref": "AuthorizationType"}
    assert expanded["Parameters"]["AuthorizationType"]["Default"] == "AWS_IAM"


def test_each_role_allows_its_own_actions_on_this_table_and_its_own_log_group(expanded):
    roles = of_type(expanded, "AWS::IAM::Role")
    assert set(roles) == {f"{name}Role" for name in ACTIONS}
    for name, actions in ACTIONS.items():
        role = roles[f"{name}Role"]
        assert "ManagedPolicyArns" not in role
        (policy,) = role["Policies"]
        table, log = policy["PolicyDocument"]["Statement"]
        assert table == {"Effect": "Allow", "Action": actions, "Resource": {"Fn::GetAtt": ["SessionTable", "Arn"]}}
        assert log == {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": {"Fn::GetAtt": [f"{name}LogGroup", "Arn"]},
        }
        function = expanded["Resources"][f"{name}Function"]["Properties"]
        assert function["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
        assert function["LoggingConfig"]["LogGroup"] == {"Ref": f"{name}LogGroup"}
        assert function["LoggingConfig"]["LogFormat"] == "JSON"


def test_the_only_other_policy_allows_the_customers_key_through_dynamodb(expanded):
    policies = of_type(expanded, "AWS::IAM::Policy")
    assert set(policies) == {"TableKeyPolicy"}
    assert expanded["Resources"]["TableKeyPolicy"]["Condition"] == "HasKmsKey"
    (statement,) = policies["TableKeyPolicy"]["PolicyDocument"]["Statement"]
    assert statement["Resource"] == {"Ref": "KmsKeyArn"}
    via = statement["Condition"]["StringEquals"]["kms:ViaService"]
    assert via == {"Fn::Sub": "dynamodb.${AWS::Region}.${AWS::URLSuffix}"}


def test_no_policy_contains_a_wildcard(expanded):
    def texts(value):
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            return [text for item in value for text in texts(item)]
        return [str(value)]

    documents = [
        policy["PolicyDocument"]
        for role in of_type(expanded, "AWS::IAM::Role").values()
        for policy in role["Policies"]
    ] + [policy["PolicyDocument"] for policy in of_type(expanded, "AWS::IAM::Policy").values()]
    assert len(documents) == len(ACTIONS) + 1
    for document in documents:
        assert not [text for text in texts(document) if "*" in text]


def test_the_table_is_protected_from_deletion_and_backed_up(expanded):
    table = expanded["Resources"]["SessionTable"]
    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
    properties = table["Properties"]
    assert properties["DeletionProtectionEnabled"] is True
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert properties["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}


def test_every_setting_has_a_parameter_with_the_default_of_the_code(expanded):
    files = ("shared/src/config.rs", "service/src/settings.rs")
    code = "".join((ROOT / file).read_text().split("#[cfg(test)]")[0] for file in files)
    read = set(re.findall(r'"(SESSION_[A-Z_]+)"', code))
    assert len(read) == 25
    # Of the packages: the service merges nothing, and Lambda ends a function that hangs.
    read -= {"SESSION_MERGE", "SESSION_PASSIVE_PATHS", "SESSION_CALL_TIMEOUT_MILLISECONDS", "SESSION_LABELS"}
    # The Rust tests check that the defaults on this page match the code.
    page = dict(re.findall(r"^\| `(SESSION_[A-Z_]+)` \| `?([^`|]*?)`? \|", (ROOT / "docs/settings.md").read_text(), re.M))
    for name, function in of_type(expanded, "AWS::Lambda::Function").items():
        variables = function["Environment"]["Variables"]
        assert {v for v in variables if v.startswith("SESSION_")} == read, name
        for variable in read:
            value = variables[variable]
            if variable == "SESSION_TABLE_NAME":  # whatever name the table has
                assert value == {"Ref": "SessionTable"}
                continue
            if variable == "SESSION_AUTHORIZER_OPTIONAL":  # a function of its own
                assert value == ("true" if name == "AuthorizeOptionalFunction" else page[variable])
                continue
            reference = value["Fn::Join"][1] if "Fn::Join" in value else value
            parameter = expanded["Parameters"][reference["Ref"]]
            assert str(parameter["Default"]) == page[variable], variable


def test_cors_allows_only_listed_origins_and_is_off_by_default(expanded):
    parameter = expanded["Parameters"]["AllowedOrigins"]
    assert parameter["Type"] == "CommaDelimitedList" and parameter["Default"] == ""
    for origin in ("", "https://app.example.com", "https://a-1.example:8443", "http://localhost:5173"):
        assert re.fullmatch(parameter["AllowedPattern"], origin), origin
    for origin in ("*", "https://*", "https://*.example.com", "http://app.example.com", "null", "https://a.example/"):
        assert not re.fullmatch(parameter["AllowedPattern"], origin), origin
    condition, cors, otherwise = expanded["Resources"]["SessionApi"]["Properties"]["CorsConfiguration"]["Fn::If"]
    assert expanded["Conditions"][condition] == {"Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": "AllowedOrigins"}]}, ""]}]}
    assert cors["AllowOrigins"] == {"Ref": "AllowedOrigins"} and cors["AllowCredentials"] is True
    assert set(cors["AllowMethods"]) == {route.split()[0] for route in ROUTES}
    assert otherwise == {"Ref": "AWS::NoValue"}


def outcomes():
    """The metrics in which the code counts calls."""
    report, error, failure = (
        (ROOT / file).read_text() for file in ("shared/src/report.rs", "shared/src/error.rs", "service/src/failure.rs")
    )
    return (
        (set(re.findall(r'Self::\w+ => "([a-z-]+)"', report + error)) - {"used"})  # by the packages of frameworks only
        | set(re.findall(r'\("(?:refused|failed)", "([a-z-]+)"\)', report))
        | set(re.findall(r'report::refused\("([a-z-]+)"\)', failure))
    )


def test_the_dashboard_shows_every_outcome_and_every_alarm(expanded):
    body, names = expanded["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    assert names == {
        f"{name}Name": {"Fn::If": ["SignedCalls", {"Ref": f"{name}Function"}, "none"]} for name in ("List", "Revoke")
    }
    for reference in re.findall(r"\$\{(\w+)[.}]", body):
        assert reference in expanded["Resources"] or reference in names, reference
    widgets = json.loads(body)["widgets"]
    metrics = [metric for widget in widgets for metric in widget["properties"].get("metrics", [])]
    shown = {name for namespace, name, *_ in metrics if namespace == "dynamodb-web-session"}
    assert len(outcomes()) == 23
    assert shown == outcomes() | {"read_units", "write_units"}
    (alarms,) = [widget["properties"]["alarms"] for widget in widgets if widget["type"] == "alarm"]
    assert alarms == [f"${{{name}.Arn}}" for name in of_type(expanded, "AWS::CloudWatch::Alarm")]


def test_the_alarms_watch_existing_metrics_and_notify_the_topic(expanded):
    alarms = of_type(expanded, "AWS::CloudWatch::Alarm")
    unknown = alarms["UnknownIdsAlarm"]
    code = (ROOT / "service/src/metrics.rs").read_text()
    assert f'NAMESPACE: &str = "{unknown["Namespace"]}"' in code and unknown["MetricName"] in outcomes()
    assert unknown["Dimensions"] == [{"Name": "table", "Value": {"Ref": "SessionTable"}}]
    assert 'dimensions: [["table"]]' in code
    assert alarms["ErrorsAlarm"]["Dimensions"] == [{"Name": "ApiId", "Value": {"Ref": "SessionApi"}}]
    metrics = [m["Fn::If"][1] if "Fn::If" in m else m for m in alarms["ThrottlesAlarm"]["Metrics"]]
    watched = [m["MetricStat"]["Metric"] for m in metrics if "MetricStat" in m]
    assert len(watched) == 10, "the most that an alarm can watch"
    functions = {m["Dimensions"][0]["Value"]["Ref"] for m in watched if m["Namespace"] == "AWS/Lambda"}
    assert functions == {*ROUTES.values(), "AuthorizeFunction"}
    assert {m["MetricName"] for m in watched if m["Namespace"] == "AWS/DynamoDB"} == {"ReadThrottleEvents", "WriteThrottleEvents"}
    metrics = [m["Fn::If"][1] if "Fn::If" in m else m for m in alarms["AuthorizerAlarm"]["Metrics"]]
    watched = [m["MetricStat"]["Metric"] for m in metrics if "MetricStat" in m]
    assert {(m["Dimensions"][0]["Value"]["Ref"], m["MetricName"]) for m in watched} == {
        (name, metric) for name in AUTHORIZERS for metric in ("Errors", "Throttles")
    }
    for alarm in alarms.values():
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["AlarmActions"] == {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}


def test_every_parameter_is_used(template):
    text = json.dumps({k: v for k, v in template.items() if k in ("Globals", "Resources", "Conditions")})
    for parameter in template["Parameters"]:
        assert f'{{"Ref": "{parameter}"}}' in text, parameter
    grouped = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(p for group in grouped for p in group["Parameters"]) == sorted(template["Parameters"])


def test_a_call_ends_before_the_function_times_out(expanded):
    code = (ROOT / "shared/src/time_limits.rs").read_text()
    limit = {name: int(seconds) for name, seconds in re.findall(r"(\w+): Duration = Duration::from_secs\((\d+)\)", code)}
    longest = max(limit["CALL"], limit["REQUESTS_WITHIN"] + limit["OPERATION"], 2 * limit["OPERATION"])
    for function in of_type(expanded, "AWS::Lambda::Function").values():
        assert longest < function["Timeout"] < 30


@mock_aws
def test_two_stacks_that_moto_supports_can_be_created_in_one_account(expanded, monkeypatch):
    """A table has a name of its own, so that neither another stack nor the rest of a failed one is in the way."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    boto3.client("s3", REGION).create_bucket(Bucket="bucket")
    boto3.client("s3", REGION).put_object(Bucket="bucket", Key="code.zip", Body=b"")
    known = {
        name: resource
        for name, resource in expanded["Resources"].items()
        if resource["Type"] not in IGNORED_BY_MOTO | NAMING_THEM
    }
    stack = {name: part for name, part in {**expanded, "Resources": known}.items() if name not in ("Outputs", "Rules")}
    cloudformation = boto3.client("cloudformation", REGION)
    for name in ("sessions", "more-sessions"):
        cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(stack), Capabilities=["CAPABILITY_IAM"])
        (created,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        assert created["StackStatus"] == "CREATE_COMPLETE"

    dynamodb = boto3.client("dynamodb", REGION)
    tables = dynamodb.list_tables()["TableNames"]
    assert len(tables) == 2
    table = dynamodb.describe_table(TableName=tables[0])["Table"]
    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    functions = boto3.client("lambda", REGION).list_functions()["Functions"]
    assert {function["Runtime"] for function in functions} == {"provided.al2023"} and len(functions) == 16
    assert {function["Environment"]["Variables"]["SESSION_TABLE_NAME"] for function in functions} == set(tables)
    assert len(boto3.client("iam", REGION).list_roles()["Roles"]) == 16


def test_the_execute_api_endpoint_can_be_disabled_and_signed_calls_pass_cors(expanded):
    api = expanded["Resources"]["SessionApi"]["Properties"]
    assert api["DisableExecuteApiEndpoint"] == {"Ref": "DisableExecuteApiEndpoint"}
    _, cors, _ = api["CorsConfiguration"]["Fn::If"]
    assert {"authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"} <= set(cors["AllowHeaders"])
    assert {"if-match", "if-none-match", "content-type", "x-session-id"} <= set(cors["AllowHeaders"])


def test_lambdas_own_log_lines_have_a_parameter(expanded):
    for function in of_type(expanded, "AWS::Lambda::Function").values():
        assert function["LoggingConfig"]["SystemLogLevel"] == {"Ref": "SystemLogLevel"}
        assert function["LoggingConfig"]["ApplicationLogLevel"] == "TRACE", "it drops no line with metrics"
