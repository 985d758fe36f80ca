"""`--auth on` with users, roles and policies: everybody may do what its policies say, and functions what their role may."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import botocore.exceptions
import pytest

from support.server import RUNTIME, Server, running, wait_until, zipped

pytestmark = pytest.mark.root

ACCOUNT = "000000000000"
OTHER = "111111111111"
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:worker"
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
WORKER = """
import boto3

def handler(event, context):
    if event["do"] == "who":
        return boto3.client("sts").get_caller_identity()["Arn"]
    boto3.client("s3").put_object(Bucket=event["bucket"], Key="made", Body=b"x")
    return "written"
"""


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: Any, resource: Any = "*", **elements: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **elements}


def trusting(principal: Any, **elements: Any) -> str:
    return document({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **elements})


def refusal(call: Any, **arguments: Any) -> tuple[str, str]:
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        call(**arguments)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


class World:
    """A server with `--auth on`, its administrator, and clients of anybody."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.root = self._root_key(ACCOUNT)

    def client(self, service: str, keys: dict[str, str] | None = None) -> Any:
        return self.server.client(service, **(self.root if keys is None else keys))

    def stranger(self) -> dict[str, str]:
        """The root of another account."""
        return self._root_key(OTHER)

    def user(self, name: str, *statements: dict[str, Any], account: dict[str, str] | None = None) -> dict[str, str]:
        iam = self.client("iam", account)
        iam.create_user(UserName=name)
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document(*statements))
        return as_keys(iam.create_access_key(UserName=name)["AccessKey"])

    def _root_key(self, account: str) -> dict[str, str]:
        command = [sys.executable, "-m", "lambdad", "credentials", "create", "--json", "--account-id", account]
        made = subprocess.run([*command, "--data-dir", str(self.server.data_dir)], capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        return as_keys(json.loads(made.stdout))


def as_keys(made: dict[str, Any]) -> dict[str, str]:
    keys = {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
    return {**keys, "aws_session_token": made["SessionToken"]} if "SessionToken" in made else keys


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """With a function `worker` whose role may write to the bucket `mine` and no other."""
    with running(tmp_path_factory.mktemp("identity"), "--auth", "on") as server:
        made = World(server)
        iam, lambda_, s3 = made.client("iam"), made.client("lambda"), made.client("s3")
        for bucket in ("mine", "other"):
            s3.create_bucket(Bucket=bucket)
        role = iam.create_role(RoleName="worker", AssumeRolePolicyDocument=trusting({"Service": "lambda.amazonaws.com"}))
        iam.attach_role_policy(RoleName="worker", PolicyArn=BASIC)
        writes = document(allow("s3:PutObject", "arn:aws:s3:::mine/*"))
        iam.put_role_policy(RoleName="worker", PolicyName="writes", PolicyDocument=writes)
        lambda_.create_function(
            FunctionName="worker", Runtime=RUNTIME, Handler="lambda_function.handler", Role=role["Role"]["Arn"], Timeout=30,
            MemorySize=256, Code={"ZipFile": zipped({"lambda_function.py": WORKER})},
        )  # fmt: skip
        wait_until(lambda: lambda_.get_function_configuration(FunctionName="worker")["State"] == "Active", 60, "the function")
        yield made


def invoke(client: Any, **event: Any) -> Any:
    answer = client.invoke(FunctionName=FUNCTION, Payload=json.dumps(event).encode())
    return json.loads(answer["Payload"].read())


def test_a_function_may_do_what_its_role_may(world: World) -> None:
    """It is a session of its execution role, writes where the role's policy says, and is denied elsewhere in AWS's words."""
    lambda_ = world.client("lambda")
    who = f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/worker"
    assert invoke(lambda_, do="who") == who
    assert invoke(lambda_, do="write", bucket="mine") == "written"
    denied = invoke(lambda_, do="write", bucket="other")
    assert denied["errorType"] == "AccessDenied"
    assert (
        f'User: {who} is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::other/made" '
        "because no identity-based policy allows the s3:PutObject action"
    ) in denied["errorMessage"]


def test_what_a_function_asks_for_says_which_function_asks(world: World) -> None:
    """By `lambda:SourceFunctionArn`, so that a policy may let in one function of several with the same role."""
    iam, lambda_ = world.client("iam"), world.client("lambda")
    of = {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}
    for operator, answer in (("ArnEquals", "AccessDenied"), ("ArnNotEquals", None)):
        deny = document({**of, "Condition": {operator: {"lambda:SourceFunctionArn": FUNCTION}}})
        iam.put_role_policy(RoleName="worker", PolicyName="one", PolicyDocument=deny)
        said = invoke(lambda_, do="write", bucket="mine")
        assert (said["errorType"] if answer else said) == (answer or "written")
    iam.delete_role_policy(RoleName="worker", PolicyName="one")


def test_a_change_of_a_role_counts_at_once(world: World) -> None:
    """A warm environment keeps its credentials, and what they may do follows the policies."""
    iam, lambda_ = world.client("iam"), world.client("lambda")
    deny = document({"Effect": "Deny", "Action": "s3:*", "Resource": "*"})
    iam.put_role_policy(RoleName="worker", PolicyName="no", PolicyDocument=deny)
    assert "with an explicit deny in an identity-based policy" in invoke(lambda_, do="write", bucket="mine")["errorMessage"]
    iam.delete_role_policy(RoleName="worker", PolicyName="no")
    assert invoke(lambda_, do="write", bucket="mine") == "written"


def test_a_user_may_do_what_its_policies_and_groups_say(world: World) -> None:
    """Nothing at first; then what an inline policy, a group's policy and a managed policy's version each allow."""
    iam = world.client("iam")
    keys = world.user("ann")
    lambda_ = world.client("lambda", keys)
    ann = f"arn:aws:iam::{ACCOUNT}:user/ann"
    assert world.client("sts", keys).get_caller_identity()["Arn"] == ann
    assert refusal(lambda_.invoke, FunctionName="worker", Payload=b"{}") == (
        "AccessDeniedException",
        f"User: {ann} is not authorized to perform: lambda:InvokeFunction on resource: {FUNCTION} "
        "because no identity-based policy allows the lambda:InvokeFunction action",
    )
    iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=document(allow("lambda:InvokeFunction", FUNCTION)))
    assert invoke(lambda_, do="who").endswith("/worker/worker")
    assert refusal(lambda_.get_function, FunctionName="worker")[0] == "AccessDeniedException"
    iam.create_group(GroupName="readers")
    iam.attach_group_policy(GroupName="readers", PolicyArn="arn:aws:iam::aws:policy/AWSLambda_ReadOnlyAccess")
    iam.add_user_to_group(GroupName="readers", UserName="ann")
    assert lambda_.get_function(FunctionName="worker")["Configuration"]["FunctionArn"] == FUNCTION
    policy = iam.create_policy(PolicyName="logs", PolicyDocument=document(allow("logs:DescribeLogGroups")))["Policy"]
    iam.attach_user_policy(UserName="ann", PolicyArn=policy["Arn"])
    logs = world.client("logs", keys)
    logs.describe_log_groups()
    iam.create_policy_version(
        PolicyArn=policy["Arn"], PolicyDocument=document({**allow("*"), "Effect": "Deny"}), SetAsDefault=True
    )
    assert refusal(logs.describe_log_groups) == (
        "AccessDeniedException",
        f"User: {ann} is not authorized to perform: logs:DescribeLogGroups on resource: "
        f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:* with an explicit deny in an identity-based policy",
    )
    assert refusal(world.client("iam", keys).list_users)[0] == "AccessDenied"


def test_iam_takes_no_session_without_mfa(world: World) -> None:
    """Of GetSessionToken, that is; other services take it, and IAM takes the sessions of roles."""
    tom = as_keys(world.client("sts", world.user("tom", allow("*"))).get_session_token()["Credentials"])
    assert refusal(world.client("iam", tom).list_users) == (
        "InvalidClientTokenId",
        "The security token included in the request is invalid.",
    )
    assert world.client("lambda", tom).get_function(FunctionName="worker")["Configuration"]["FunctionArn"] == FUNCTION


def test_a_dry_run_answers_what_the_call_would(world: World) -> None:
    """204 for who may, AWS's refusal for who may not, and the call's errors; nothing runs."""
    may = world.client("lambda", world.user("may", allow("lambda:InvokeFunction", [FUNCTION, f"{FUNCTION}:*"])))
    may_not = world.client("lambda", world.user("may-not", allow("lambda:GetFunction")))
    dry = {"FunctionName": "worker", "InvocationType": "DryRun"}
    answer = may.invoke(**dry, Payload=b"{}")
    assert (answer["StatusCode"], answer["Payload"].read()) == (204, b"")
    denied = refusal(may_not.invoke, **dry)
    assert denied == refusal(may_not.invoke, FunctionName="worker", Payload=b"{}")
    assert denied[0] == "AccessDeniedException"
    assert "because no identity-based policy allows the lambda:InvokeFunction action" in denied[1]
    for wrong in (
        {"FunctionName": "worker", "Payload": b"{"},
        {"FunctionName": "worker", "Qualifier": "nowhere"},
        {"FunctionName": "worker", "ClientContext": "!"},
        {"FunctionName": "worker", "Payload": b'"' + b"x" * (6 * 1024 * 1024 + 1) + b'"'},
    ):
        code, message = refusal(may.invoke, **wrong, InvocationType="DryRun")
        assert (code, message.replace("DryRun", "RequestResponse")) == refusal(may.invoke, **wrong)
    absent = world.client("lambda").invoke
    assert refusal(absent, FunctionName="absent", InvocationType="DryRun") == refusal(absent, FunctionName="absent")


def test_a_role_must_trust_lambda_and_be_passed(world: World) -> None:
    """CreateFunction refuses a role that is not there or that trusts others, and a caller that may not pass it on."""
    iam = world.client("iam")
    other = iam.create_role(RoleName="ec2", AssumeRolePolicyDocument=trusting({"Service": "ec2.amazonaws.com"}))["Role"]["Arn"]
    wanted = {
        "FunctionName": "new", "Runtime": RUNTIME, "Handler": "h.h", "Code": {"ZipFile": zipped({"h.py": "h = print"})},
    }  # fmt: skip
    for role in (other, f"arn:aws:iam::{ACCOUNT}:role/absent"):
        assert refusal(world.client("lambda").create_function, **wanted, Role=role) == (
            "InvalidParameterValueException",
            "The role defined for the function cannot be assumed by Lambda.",
        )
    assert refusal(world.client("lambda").create_function, **wanted, Role="arn:aws:iam::222222222222:role/worker") == (
        "AccessDeniedException",
        "Cross-account pass role is not allowed.",
    )
    worker = f"arn:aws:iam::{ACCOUNT}:role/worker"
    maker = world.client("lambda", world.user("maker", allow("lambda:*")))
    assert refusal(maker.create_function, **wanted, Role=worker) == (
        "AccessDeniedException",
        f"User: arn:aws:iam::{ACCOUNT}:user/maker is not authorized to perform: iam:PassRole on resource: {worker} "
        "because no identity-based policy allows the iam:PassRole action",
    )
    to_lambda = {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
    passes = allow("iam:PassRole", worker, Condition=to_lambda)
    iam.put_user_policy(UserName="maker", PolicyName="pass", PolicyDocument=document(passes))
    assert maker.create_function(**wanted, Role=worker)["FunctionName"] == "new"


def test_tags_have_rights_of_their_own(world: World) -> None:
    """Whoever makes a function with tags must be allowed to put them on it, and whoever reads one to read them."""
    lambda_, worker = world.client("lambda"), f"arn:aws:iam::{ACCOUNT}:role/worker"
    new = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:tagged"
    wanted = {
        "FunctionName": "tagged", "Runtime": RUNTIME, "Handler": "h.h", "Role": worker, "Tags": {"team": "a"},
        "Code": {"ZipFile": zipped({"h.py": "h = print"})},
    }  # fmt: skip
    keys = world.user("tagger", allow(["lambda:CreateFunction", "lambda:GetFunction", "iam:PassRole"]))
    tagger = world.client("lambda", keys)

    def denied(action: str) -> str:
        return (
            f"User: arn:aws:iam::{ACCOUNT}:user/tagger is not authorized to perform: {action} on resource: {new} "
            f"because no identity-based policy allows the {action} action"
        )

    assert refusal(tagger.create_function, **wanted) == ("AccessDeniedException", denied("lambda:TagResource"))
    one_team = {"StringEquals": {"aws:RequestTag/team": "a"}}
    tags = document(allow("lambda:TagResource", new, Condition=one_team))
    world.client("iam").put_user_policy(UserName="tagger", PolicyName="tags", PolicyDocument=tags)
    tagger.create_function(**wanted)
    read = tagger.get_function(FunctionName="tagged")
    assert read["TagsError"] == {"ErrorCode": "AccessDeniedException", "Message": denied("lambda:ListTags")}
    assert "Tags" not in read
    assert lambda_.get_function(FunctionName="tagged")["Tags"] == {"team": "a"}
    lambda_.delete_function(FunctionName="tagged")


def test_a_session_of_a_role_is_narrowed_and_outlives_a_restart(world: World) -> None:
    """AssumeRole asks the trust policy with its ExternalId; a session policy takes away; a wrong token is refused."""
    iam = world.client("iam")
    keys = world.user("bob", allow("sts:AssumeRole"))
    with_id = {"Condition": {"StringEquals": {"sts:ExternalId": "secret"}}}
    trust = trusting({"AWS": f"arn:aws:iam::{ACCOUNT}:user/bob"}, **with_id)
    arn = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.attach_role_policy(RoleName="reader", PolicyArn="arn:aws:iam::aws:policy/AmazonS3FullAccess")
    sts = world.client("sts", keys)
    wanted = {"RoleArn": arn, "RoleSessionName": "one"}
    bob = f"User: arn:aws:iam::{ACCOUNT}:user/bob is not authorized to perform"
    denied = ("AccessDenied", f"{bob}: sts:AssumeRole on resource: {arn}")
    assert refusal(sts.assume_role, **wanted) == denied
    assert refusal(sts.assume_role, **wanted, ExternalId="wrong") == denied
    assert refusal(sts.assume_role, **{**wanted, "RoleArn": f"{arn}2"})[0] == "AccessDenied"
    assert refusal(sts.assume_role, **wanted, ExternalId="secret", DurationSeconds=7200)[0] == "ValidationError"
    assert refusal(world.client("sts").assume_role, **wanted, ExternalId="secret")[0] == "AccessDenied"
    only_reads = document(allow(["s3:List*", "s3:Get*"]))
    session = sts.assume_role(**wanted, ExternalId="secret", Policy=only_reads, DurationSeconds=900)
    assert session["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/one"
    temporary = as_keys(session["Credentials"])
    world.server.kill()
    world.server.start()
    s3 = world.client("s3", temporary)
    assert {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]} >= {"mine", "other"}
    code, message = refusal(s3.put_object, Bucket="mine", Key="k", Body=b"")
    assert (code, "because no session policy allows the s3:PutObject action" in message) == ("AccessDenied", True)
    stolen = {**temporary, "aws_session_token": "x"}
    assert refusal(world.client("s3", stolen).list_buckets)[0] == "InvalidToken"
    assert world.client("sts", temporary).get_caller_identity()["UserId"].endswith(":one")
    iam = world.client("iam")
    iam.detach_role_policy(RoleName="reader", PolicyArn="arn:aws:iam::aws:policy/AmazonS3FullAccess")
    iam.delete_role(RoleName="reader")
    iam.create_role(RoleName="reader", AssumeRolePolicyDocument=trust)
    iam.attach_role_policy(RoleName="reader", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    assert refusal(s3.list_buckets)[0] == "AccessDenied"  # the session was the deleted role's, not its successor's


def test_dead_letters_and_destinations_go_where_the_role_may_send(world: World) -> None:
    """A destination that the execution role may not reach is refused when it is named."""
    iam, lambda_ = world.client("iam"), world.client("lambda")
    wanted = {"FunctionName": "worker", "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::other"}}}
    assert refusal(lambda_.put_function_event_invoke_config, **wanted) == (
        "InvalidParameterValueException",
        "The function's execution role does not have permissions to call PutObject on arn:aws:s3:::other",
    )
    sends = document(allow("s3:PutObject", "arn:aws:s3:::other/aws/*"))
    iam.put_role_policy(RoleName="worker", PolicyName="sends", PolicyDocument=sends)
    lambda_.put_function_event_invoke_config(**wanted)


def test_another_account_needs_both_sides(world: World) -> None:
    """The function's policy must name it, and its own policies must allow it; its root has all rights of its own side."""
    lambda_ = world.client("lambda")
    stranger = world.stranger()
    carl = world.user("carl", account=stranger)
    action = "because no resource-based policy allows the lambda:InvokeFunction action"
    assert action in refusal(world.client("lambda", stranger).invoke, FunctionName=FUNCTION)[1]
    lambda_.add_permission(FunctionName="worker", StatementId="x", Action="lambda:InvokeFunction", Principal=OTHER)
    assert invoke(world.client("lambda", stranger), do="who").endswith("/worker/worker")
    denied = refusal(world.client("lambda", carl).invoke, FunctionName=FUNCTION)[1]
    assert "because no identity-based policy allows" in denied
    policy = document(allow("lambda:InvokeFunction", FUNCTION))
    world.client("iam", stranger).put_user_policy(UserName="carl", PolicyName="p", PolicyDocument=policy)
    assert invoke(world.client("lambda", carl), do="who").endswith("/worker/worker")


def test_a_whole_policy_on_a_function_decides(world: World) -> None:
    """A document lets in another account and denies one user of its own; putting it needs the rights to its statements too."""
    boto = world.client("lambda")
    allowed = [allow("lambda:InvokeFunction"), allow(["lambda:*ResourcePolicy", "lambda:GetPolicy"])]
    lambda_ = world.client("lambda", world.user("shut-out", *allowed))
    stranger = world.client("lambda", world.stranger())
    user_arn = f"arn:aws:iam::{ACCOUNT}:user/shut-out"
    let_in = allow("lambda:InvokeFunction", FUNCTION, Sid="other", Principal={"AWS": OTHER})
    keep_out = {**allow("lambda:InvokeFunction", FUNCTION, Principal={"AWS": user_arn}), "Effect": "Deny"}
    code, message = refusal(lambda_.put_resource_policy, ResourceArn=FUNCTION, Policy=document(let_in))
    assert code == "AccessDeniedException" and "lambda:AddPermission" in message
    put = boto.put_resource_policy(ResourceArn=FUNCTION, Policy=document(let_in, keep_out))
    assert json.loads(put["Policy"])["Statement"] == [let_in, keep_out]
    assert lambda_.get_resource_policy(ResourceArn=FUNCTION)["RevisionId"] == put["RevisionId"]
    assert stranger.invoke(FunctionName=FUNCTION, InvocationType="DryRun")["StatusCode"] == 204
    code, message = refusal(lambda_.invoke, FunctionName=FUNCTION, InvocationType="DryRun")
    assert code == "AccessDeniedException" and message.endswith("with an explicit deny in a resource-based policy")
    code, _ = refusal(boto.delete_resource_policy, ResourceArn=FUNCTION, RevisionId="0" * 8 + "-0000-0000-0000-" + "0" * 12)
    assert code == "PreconditionFailedException"
    boto.delete_resource_policy(ResourceArn=FUNCTION, RevisionId=put["RevisionId"])
    assert lambda_.invoke(FunctionName=FUNCTION, InvocationType="DryRun")["StatusCode"] == 204
    assert refusal(stranger.invoke, FunctionName=FUNCTION, InvocationType="DryRun")[0] == "AccessDeniedException"
    assert refusal(boto.get_resource_policy, ResourceArn=FUNCTION)[0] == "ResourceNotFoundException"


def test_the_simulator_says_what_a_user_may_do(world: World) -> None:
    """Through boto3's paginator, and it is what the user finds when it calls; simulating is a right of its own."""
    keys = world.user("dora", allow("s3:PutObject", "arn:aws:s3:::mine/${aws:username}/*"))
    dora = f"arn:aws:iam::{ACCOUNT}:user/dora"
    objects = ["arn:aws:s3:::mine/dora/1", "arn:aws:s3:::mine/1"]
    actions = ["s3:PutObject", "s3:GetObject"]
    pages = world.client("iam").get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=dora, ActionNames=actions, ResourceArns=objects, PaginationConfig={"PageSize": 1}
    )  # fmt: skip
    results = [result for page in pages for result in page["EvaluationResults"]]
    assert [result["EvalActionName"] for result in results] == actions
    decisions = [[each["EvalResourceDecision"] for each in result["ResourceSpecificResults"]] for result in results]
    assert decisions == [["allowed", "implicitDeny"], ["implicitDeny", "implicitDeny"]]
    s3 = world.client("s3", keys)
    s3.put_object(Bucket="mine", Key="dora/1", Body=b"")
    assert refusal(s3.put_object, Bucket="mine", Key="1", Body=b"")[0] == "AccessDenied"
    own = world.client("iam", keys)
    code, message = refusal(own.simulate_principal_policy, PolicySourceArn=dora, ActionNames=actions)
    assert code == "AccessDenied" and "iam:SimulatePrincipalPolicy" in message
    names = world.client("iam").get_context_keys_for_principal_policy(PolicySourceArn=dora)["ContextKeyNames"]
    assert names == ["aws:username"]


def test_an_inactive_key_ends_at_once(world: World) -> None:
    """And works again when it is made active; a deleted one is unknown."""
    iam = world.client("iam")
    keys = world.user("edna")
    sts = world.client("sts", keys)
    key = {"UserName": "edna", "AccessKeyId": keys["aws_access_key_id"]}
    sts.get_caller_identity()
    iam.update_access_key(**key, Status="Inactive")
    assert refusal(sts.get_caller_identity)[0] == "InvalidClientTokenId"
    iam.update_access_key(**key, Status="Active")
    sts.get_caller_identity()
    assert refusal(iam.delete_user, UserName="edna")[0] == "DeleteConflict"
    iam.delete_access_key(**key)
    assert refusal(sts.get_caller_identity)[0] == "InvalidClientTokenId"
    iam.delete_user(UserName="edna")
