"""ECR and its registry: repositories by boto3, images by the distribution API, and by skopeo where it is installed."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from support.image_layers import Entry
from support.images import INDEX, MANIFEST, RegistryClient, described, digest_of, error_code, image, write_layout
from support.server import Server, running

pytestmark = pytest.mark.root

APP = image([Entry("bin/app", b"#!/bin/sh\n", mode=0o755)], [Entry("etc/app.conf", b"x" * 5000)], Cmd=["/bin/app"])


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("strict"), "--auth", "on") as started:
        yield started


@pytest.fixture
def ecr(server: Server) -> Any:
    return server.client("ecr")


def refused(call: Any, **parameters: Any) -> str:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"]


def test_an_image_that_was_pushed_comes_back_byte_for_byte(server: Server, ecr: Any) -> None:
    """By tag and by digest, with every part; and the API shows what the registry took in."""
    made = ecr.create_repository(repositoryName="pushed/app")["repository"]
    assert made["repositoryUri"] == f"000000000000.dkr.ecr.us-east-1.localhost:{server.port}/pushed/app"
    registry = RegistryClient(server.endpoint, "pushed/app")
    assert registry.ask("GET", "/v2/")[0] == 200
    registry.push(APP, "v1")
    for name in ("v1", APP.digest):
        status, headers, body = registry.ask("GET", f"manifests/{name}")
        assert (status, headers["docker-content-digest"], headers["content-type"]) == (200, APP.digest, MANIFEST)
        assert body == APP.manifest
    for digest, data in APP.blobs.items():
        assert registry.ask("GET", f"blobs/{digest}")[2] == data
        status, headers, body = registry.ask("HEAD", f"blobs/{digest}")
        assert (status, headers["content-length"], body) == (200, str(len(data)), b"")
    assert json.loads(registry.ask("GET", "tags/list")[2]) == {"name": "pushed/app", "tags": ["v1"]}
    detail = ecr.describe_images(repositoryName="pushed/app")["imageDetails"][0]
    assert (detail["imageDigest"], detail["imageTags"], detail["imageManifestMediaType"]) == (APP.digest, ["v1"], MANIFEST)
    assert detail["imageSizeInBytes"] == len(APP.manifest) + sum(map(len, APP.blobs.values()))
    got = ecr.batch_get_image(repositoryName="pushed/app", imageIds=[{"imageTag": "v1"}, {"imageTag": "v2"}])
    assert got["images"][0]["imageManifest"] == APP.manifest.decode()
    assert got["failures"][0]["failureCode"] == "ImageNotFound"


def test_a_second_repository_has_its_layers_from_the_first(server: Server, ecr: Any) -> None:
    """A mount takes the place of an upload; what one repository loses, the other keeps."""
    for name in ("first", "second"):
        ecr.create_repository(repositoryName=name)
    RegistryClient(server.endpoint, "first").push(APP, "v1")
    second = RegistryClient(server.endpoint, "second")
    for digest in APP.blobs:
        assert second.ask("POST", f"blobs/uploads/?mount={digest}&from=first", b"")[0] == 201
    assert second.ask("POST", f"blobs/uploads/?mount={digest_of(b'none')}&from=first", b"")[0] == 202
    assert second.ask("PUT", "manifests/v1", APP.manifest, Content_Type=MANIFEST)[0] == 201
    ecr.delete_repository(repositoryName="first", force=True)
    assert all(second.ask("GET", f"blobs/{digest}")[2] == data for digest, data in APP.blobs.items())
    ecr.delete_repository(repositoryName="second", force=True)
    assert refused(ecr.describe_repositories, repositoryNames=["second"]) == "RepositoryNotFoundException"


def test_an_index_needs_what_it_names(server: Server, ecr: Any) -> None:
    """And an image that an index names stays while that is there."""
    ecr.create_repository(repositoryName="index")
    registry = RegistryClient(server.endpoint, "index")
    platform = {"architecture": "amd64", "os": "linux"}
    index = json.dumps({"schemaVersion": 2, "manifests": [described(APP.manifest, MANIFEST, platform=platform)]}).encode()
    status, _, body = registry.ask("PUT", "manifests/all", index, Content_Type=INDEX)
    assert (status, error_code(body)) == (404, "MANIFEST_UNKNOWN")
    registry.push(APP, APP.digest)
    assert registry.ask("PUT", "manifests/all", index, Content_Type=INDEX)[0] == 201
    outcome = ecr.batch_delete_image(repositoryName="index", imageIds=[{"imageDigest": APP.digest}])
    assert outcome["failures"][0]["failureCode"] == "ImageReferencedByManifestList"
    ecr.batch_delete_image(repositoryName="index", imageIds=[{"imageTag": "all"}])
    assert ecr.batch_delete_image(repositoryName="index", imageIds=[{"imageDigest": APP.digest}])["failures"] == []


def test_tags_move_unless_the_repository_forbids_it(server: Server, ecr: Any) -> None:
    """The last tag takes its image along; others only themselves."""
    other = image([Entry("other")])
    ecr.create_repository(repositoryName="tags")
    registry = RegistryClient(server.endpoint, "tags")
    registry.push(APP, "v1")
    registry.push(APP, "latest")
    registry.push(other, "latest")
    found = {tuple(each.get("imageTags", ())): each["imageDigest"] for each in _details(ecr, "tags")}
    assert found == {("v1",): APP.digest, ("latest",): other.digest}
    ecr.put_image_tag_mutability(repositoryName="tags", imageTagMutability="IMMUTABLE")
    status, _, body = registry.ask("PUT", "manifests/latest", APP.manifest, Content_Type=MANIFEST)
    assert (status, error_code(body)) == (400, "TAG_INVALID")
    call = ecr.put_image
    parameters = {"repositoryName": "tags", "imageManifest": APP.manifest.decode()}
    assert refused(call, **parameters, imageTag="latest") == "ImageTagAlreadyExistsException"
    assert refused(call, **parameters, imageTag="v1") == "ImageAlreadyExistsException"
    call(**parameters, imageTag="v2")
    deleted = ecr.batch_delete_image(repositoryName="tags", imageIds=[{"imageTag": "v2"}])["imageIds"]
    assert deleted == [{"imageDigest": APP.digest, "imageTag": "v2"}]
    ecr.batch_delete_image(repositoryName="tags", imageIds=[{"imageTag": "v1"}])
    assert [each["imageDigest"] for each in _details(ecr, "tags")] == [other.digest]


def _details(ecr: Any, name: str) -> list[dict[str, Any]]:
    pages = ecr.get_paginator("describe_images").paginate(repositoryName=name, PaginationConfig={"PageSize": 1})
    return [detail for page in pages for detail in page["imageDetails"]]


def test_what_is_pushed_wrongly_is_refused_and_not_kept(server: Server, ecr: Any) -> None:
    """A wrong digest, a missing layer, pieces out of order, no repository, no manifest: each has its error."""
    ecr.create_repository(repositoryName="wrong")
    registry = RegistryClient(server.endpoint, "wrong")
    location = registry.ask("POST", "blobs/uploads/", b"")[1]["location"]
    status, headers, _ = registry.ask("PATCH", location, b"abc", Content_Range="0-2")
    assert headers["range"] == "0-2"
    assert registry.ask("PATCH", location, b"def", Content_Range="7-9")[0] == 416
    assert registry.ask("GET", location)[1]["range"] == "0-2"
    status, _, body = registry.ask("PUT", f"{location}?digest={digest_of(b'other')}", b"")
    assert (status, error_code(body)) == (400, "DIGEST_INVALID")
    assert error_code(registry.ask("PATCH", location, b"x")[2]) == "BLOB_UPLOAD_UNKNOWN"
    assert registry.ask("HEAD", f"blobs/{digest_of(b'abc')}")[0] == 404
    location = registry.ask("POST", "blobs/uploads/", b"")[1]["location"]
    assert registry.ask("DELETE", location)[0] == 204
    assert error_code(registry.ask("PUT", "manifests/v1", APP.manifest, Content_Type=MANIFEST)[2]) == "MANIFEST_BLOB_UNKNOWN"
    for nonsense in (b"", b"{}", b"\xff", b'{"schemaVersion": 1}', b"[" * 100_000):
        assert error_code(registry.ask("PUT", "manifests/v1", nonsense)[2]) == "MANIFEST_INVALID"
    assert error_code(registry.ask("PUT", "manifests/.bad", APP.manifest)[2]) == "MANIFEST_INVALID"
    assert error_code(registry.ask("GET", "manifests/v9")[2]) == "MANIFEST_UNKNOWN"
    assert registry.ask("DELETE", "manifests/v1")[0] == 405
    nowhere = RegistryClient(server.endpoint, "nowhere")
    assert error_code(nowhere.ask("POST", "blobs/uploads/", b"")[2]) == "NAME_UNKNOWN"
    assert error_code(RegistryClient(server.endpoint, "Bad/../name").ask("GET", "manifests/v1")[2]) == "NAME_INVALID"
    assert _details(ecr, "wrong") == []


def test_uploads_at_once_do_not_disturb_each_other(server: Server, ecr: Any) -> None:
    """The same parts and different ones, by several clients, as docker pushes layers."""
    ecr.create_repository(repositoryName="crowd")
    parts = [bytes([number]) * 300_000 for number in range(4)] * 2
    outcomes: list[int] = []

    def upload(part: bytes) -> None:
        outcomes.append(RegistryClient(server.endpoint, "crowd").upload(part, piece_bytes=100_000)[0])

    threads = [threading.Thread(target=upload, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [201] * len(parts)
    registry = RegistryClient(server.endpoint, "crowd")
    assert all(registry.ask("GET", f"blobs/{digest_of(part)}")[2] == part for part in parts)


def test_repositories_are_listed_tagged_and_refused_in_ecrs_words(ecr: Any) -> None:
    """By pages, by name, with their tags; and with the error that ECR has for each fault."""
    for number in range(3):
        ecr.create_repository(repositoryName=f"listed/{number}", tags=[{"Key": "n", "Value": str(number)}])
    pages = ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 1})
    names = [each["repositoryName"] for page in pages for each in page["repositories"]]
    assert [name for name in names if name.startswith("listed/")] == ["listed/0", "listed/1", "listed/2"]
    assert names == sorted(names)
    (described,) = ecr.describe_repositories(repositoryNames=["listed/1"])["repositories"]
    assert "encryptionConfiguration" not in described  # nothing claims what is not
    arn = described["repositoryArn"]
    ecr.tag_resource(resourceArn=arn, tags=[{"Key": "more", "Value": "yes"}])
    ecr.untag_resource(resourceArn=arn, tagKeys=["n"])
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "more", "Value": "yes"}]
    assert refused(ecr.create_repository, repositoryName="listed/1") == "RepositoryAlreadyExistsException"
    assert refused(ecr.describe_repositories, repositoryNames=["nowhere"]) == "RepositoryNotFoundException"
    assert refused(ecr.describe_images, repositoryName="nowhere") == "RepositoryNotFoundException"
    assert refused(ecr.delete_repository, repositoryName="nowhere") == "RepositoryNotFoundException"
    scanned = {"repositoryName": "scanned", "imageScanningConfiguration": {"scanOnPush": True}}
    assert refused(ecr.create_repository, **scanned) == "InvalidParameterException"
    assert refused(ecr.start_image_scan, repositoryName="listed/1", imageId={"imageTag": "v"}) == "InvalidParameterException"
    missing = {"repositoryName": "listed/1", "imageIds": [{"imageTag": "v1"}]}
    assert refused(ecr.describe_images, **missing) == "ImageNotFoundException"


def test_a_lifecycle_policy_is_kept_and_given_back(ecr: Any) -> None:
    """As infrastructure tools set it; one that is none is refused."""
    ecr.create_repository(repositoryName="aging")
    selection = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14}
    rule = {"rulePriority": 1, "description": "Expire images", "selection": selection, "action": {"type": "expire"}}
    text = json.dumps({"rules": [rule]})
    assert refused(ecr.get_lifecycle_policy, repositoryName="aging") == "LifecyclePolicyNotFoundException"
    assert ecr.put_lifecycle_policy(repositoryName="aging", lifecyclePolicyText=text)["lifecyclePolicyText"] == text
    wrong = {"repositoryName": "aging", "lifecyclePolicyText": text.replace("expire", "archive")}
    assert refused(ecr.put_lifecycle_policy, **wrong) == "InvalidParameterException"
    found = ecr.get_lifecycle_policy(repositoryName="aging")
    assert (found["lifecyclePolicyText"], found["registryId"]) == (text, "000000000000")
    assert ecr.delete_lifecycle_policy(repositoryName="aging")["lifecyclePolicyText"] == text
    assert refused(ecr.delete_lifecycle_policy, repositoryName="aging") == "LifecyclePolicyNotFoundException"


def test_what_was_confirmed_is_there_after_a_kill(tmp_path: Path) -> None:
    """Repository, parts and manifest; an upload that was under way has to begin again. All of it counts for the share of its
    account, until it goes."""
    with running(tmp_path, "--image-share-mb", "1") as server:
        ecr = server.client("ecr")
        ecr.create_repository(repositoryName="kept")
        registry = RegistryClient(server.endpoint, "kept")
        registry.push(APP, "v1")
        location = registry.ask("POST", "blobs/uploads/", b"")[1]["location"]
        registry.ask("PATCH", location, b"half")
        large = bytes(1 << 20)
        server.kill()
        server.start()
        assert registry.ask("GET", "manifests/v1")[2] == APP.manifest
        assert all(registry.ask("GET", f"blobs/{digest}")[2] == data for digest, data in APP.blobs.items())
        assert error_code(registry.ask("PATCH", location, b"more")[2]) == "BLOB_UPLOAD_UNKNOWN"
        assert not list((server.data_dir / "blobs/tmp").iterdir())
        assert _send(registry, large) == (403, "DENIED")
        assert not list((server.data_dir / "blobs/tmp").iterdir())
        ecr.delete_repository(repositoryName="kept", force=True)
        ecr.create_repository(repositoryName="kept")
        assert _send(registry, large) == (201, "")
        assert _send(registry, b"one more") == (403, "DENIED")


def _send(registry: RegistryClient, data: bytes) -> tuple[int, str]:
    """In one request."""
    status, _, body = registry.ask("POST", f"blobs/uploads/?digest={digest_of(data)}", data)
    return status, error_code(body) if body else ""


def test_with_authentication_the_registry_wants_a_password_of_the_api(strict: Server) -> None:
    """A stranger gets a challenge, a user what its policies allow, and nobody's forged password does anything."""
    root = _root(strict)
    strict.client("ecr", **root).create_repository(repositoryName="closed")
    status, headers, body = RegistryClient(strict.endpoint, "closed").ask("GET", "/v2/")
    assert (status, headers["www-authenticate"]) == (401, 'Basic realm="lambdad"')
    forged = base64.b64encode(b"AWS:1999999999.QUtJQQ==." + b"0" * 64).decode()
    assert RegistryClient(strict.endpoint, "closed", f"Basic {forged}").ask("GET", "/v2/")[0] == 401
    RegistryClient(strict.endpoint, "closed", _login(strict, root)).push(APP, "v1")

    iam = strict.client("iam", **root)
    iam.create_user(UserName="puller")
    may = {"Effect": "Allow", "Action": ["ecr:GetAuthorizationToken", "ecr:BatchGetImage"], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [may]})
    iam.put_user_policy(UserName="puller", PolicyName="pull", PolicyDocument=document)
    made_key = iam.create_access_key(UserName="puller")["AccessKey"]
    user = {"aws_access_key_id": made_key["AccessKeyId"], "aws_secret_access_key": made_key["SecretAccessKey"]}
    puller = RegistryClient(strict.endpoint, "closed", _login(strict, user))
    assert puller.ask("GET", "manifests/v1")[2] == APP.manifest
    status, _, body = puller.ask("POST", "blobs/uploads/", b"")
    assert (status, error_code(body)) == (403, "DENIED")
    own = strict.client("ecr", **root).create_repository(repositoryName="own")["repository"]["repositoryArn"]
    statements = [{**may, "Action": ["ecr:*"], "Resource": own}, {**may, "Action": "ecr:GetAuthorizationToken"}]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName="puller", PolicyName="pull", PolicyDocument=document)
    pusher = RegistryClient(strict.endpoint, "own", _login(strict, user))
    for digest in APP.blobs:  # the digest of what one may not pull does not get it
        assert pusher.ask("POST", f"blobs/uploads/?mount={digest}&from=closed", b"")[0] == 202
        assert pusher.ask("HEAD", f"blobs/{digest}")[0] == 404
    describe = strict.client("ecr", **user).describe_repositories
    assert describe(repositoryNames=["own"])["repositories"][0]["repositoryName"] == "own"
    assert refused(describe, repositoryNames=["own", "closed"]) == "AccessDeniedException"
    iam.delete_access_key(UserName="puller", AccessKeyId=made_key["AccessKeyId"])
    assert puller.ask("GET", "manifests/v1")[0] == 401


def _root(server: Server, account_id: str = "000000000000") -> dict[str, str]:
    command = ["credentials", "create", "--data-dir", str(server.data_dir), "--account-id", account_id, "--json"]
    made = subprocess.run([sys.executable, "-m", "lambdad", *command], capture_output=True, text=True, check=True)
    key = json.loads(made.stdout)
    return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}


def _login(server: Server, credentials: dict[str, str]) -> str:
    token = server.client("ecr", **credentials).get_authorization_token()["authorizationData"][0]["authorizationToken"]
    return f"Basic {token}"


def test_whoever_makes_a_function_needs_a_repository_that_lets_lambda_in(strict: Server) -> None:
    """Or the rights to change its policy, which then lets Lambda in; for another account's also the rights to pull from it."""
    own, other = _root(strict), _root(strict, "222222222222")
    ecr, iam = strict.client("ecr", **own), strict.client("iam", **own)
    ecr.create_repository(repositoryName="for-functions")
    RegistryClient(strict.endpoint, "for-functions", _login(strict, own)).push(APP, "v1")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trusted = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    for client in (iam, strict.client("iam", **other)):
        client.create_role(RoleName="runs", AssumeRolePolicyDocument=trusted)
    iam.create_user(UserName="maker")
    made_key = iam.create_access_key(UserName="maker")["AccessKey"]
    maker = {"aws_access_key_id": made_key["AccessKeyId"], "aws_secret_access_key": made_key["SecretAccessKey"]}
    uri = f"000000000000.dkr.ecr.us-east-1.localhost:{strict.port}/for-functions:v1"

    def allow(*actions: str) -> None:
        statement = {"Effect": "Allow", "Action": ["lambda:*", "iam:PassRole", *actions], "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="maker", PolicyName="make", PolicyDocument=document)

    def let(*statements: dict[str, Any]) -> None:
        policy = {"Version": "2012-10-17", "Statement": list(statements)}
        ecr.set_repository_policy(repositoryName="for-functions", policyText=json.dumps(policy))

    def make(credentials: dict[str, str], account_id: str = "000000000000") -> str:
        lambda_ = strict.client("lambda", **credentials)
        role, code = f"arn:aws:iam::{account_id}:role/runs", {"ImageUri": uri}
        try:
            lambda_.create_function(FunctionName="made", Role=role, PackageType="Image", Code=code)
        except botocore.exceptions.ClientError as error:
            return f"{error.response['Error']['Code']} {error.response['Error']['Message']}"
        lambda_.delete_function(FunctionName="made")
        return "made"

    no = "AccessDeniedException Lambda does not have permission to access the ECR image. Check the ECR permissions."
    pull = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    service = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": pull}
    from_other = {"StringLike": {"aws:sourceArn": "arn:aws:lambda:us-east-1:222222222222:function:*"}}
    allow(*pull)
    assert make(maker) == no
    let(service)
    assert make(maker) == "made"
    let({**service, "Action": pull[:1]})
    assert make(maker) == no
    let({**service, "Condition": from_other})
    assert make(maker) == no
    let({**service, "Effect": "Deny"}, {**service, "Sid": "and"})
    assert make(own) == no
    ecr.delete_repository_policy(repositoryName="for-functions")
    assert refused(ecr.get_repository_policy, repositoryName="for-functions") == "RepositoryPolicyNotFoundException"
    allow("ecr:GetRepositoryPolicy", "ecr:SetRepositoryPolicy")
    assert make(maker) == "made"
    policy = json.loads(ecr.get_repository_policy(repositoryName="for-functions")["policyText"])
    assert [statement["Sid"] for statement in policy["Statement"]] == ["LambdaECRImageRetrievalPolicy"]
    allow()
    assert make(maker) == "made"

    assert make(other, "222222222222") == no
    account = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::222222222222:root"}, "Action": pull}
    let(account)
    assert make(other, "222222222222") == no
    let(account, {**service, "Condition": from_other})
    assert make(other, "222222222222") == "made"
    registry = RegistryClient(f"http://127.0.0.1:{strict.port}", "for-functions", _login(strict, other))
    host = {"Host": f"000000000000.dkr.ecr.us-east-1.localhost:{strict.port}"}
    assert registry.ask("GET", "manifests/v1", **host)[2] == APP.manifest
    assert registry.ask("POST", "blobs/uploads/", b"", **host)[0] == 403


def test_a_policy_of_a_repository_is_one(strict: Server) -> None:
    """What is no policy is refused, and so is one that nobody could change any more, unless that is wanted."""
    ecr = strict.client("ecr", **_root(strict))
    ecr.create_repository(repositoryName="ruled")
    statement = {"Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"}
    stated = [], ["x"], [{**statement, "Resource": "*"}], [{"Effect": "Allow", "Action": "ecr:*"}], [{**statement, "Action": 1}]
    for text in ("", "{", "[]", "{}", *(json.dumps({"Version": "2012-10-17", "Statement": each}) for each in stated)):
        assert refused(ecr.set_repository_policy, repositoryName="ruled", policyText=text) == "InvalidParameterException", text
    shut = json.dumps({"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "ecr:SetRepositoryPolicy"}]})
    assert refused(ecr.set_repository_policy, repositoryName="ruled", policyText=shut) == "InvalidParameterException"
    assert ecr.set_repository_policy(repositoryName="ruled", policyText=shut, force=True)["policyText"] == shut
    assert refused(ecr.set_repository_policy, repositoryName="ruled", policyText=shut) == "AccessDeniedException"
    assert ecr.delete_repository_policy(repositoryName="ruled")["policyText"] == shut


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
def test_skopeo_copies_to_and_fro(server: Server, ecr: Any, tmp_path: Path) -> None:
    """The real client, from a layout to the registry and back."""
    ecr.create_repository(repositoryName="skopeo")
    layout = write_layout(tmp_path / "layout", {"v1": APP})
    place = f"docker://127.0.0.1:{server.port}/skopeo:v1"
    for command in (
        ["copy", "--dest-tls-verify=false", f"oci:{layout}:v1", place],
        ["copy", "--src-tls-verify=false", place, f"oci:{tmp_path}/back:v1"],
    ):
        subprocess.run(["skopeo", "--insecure-policy", *command], check=True, capture_output=True, timeout=60)
    assert {path.name for path in (tmp_path / "back/blobs/sha256").iterdir()} >= {digest[7:] for digest in APP.blobs}
    assert ecr.list_images(repositoryName="skopeo")["imageIds"][0]["imageTag"] == "v1"
