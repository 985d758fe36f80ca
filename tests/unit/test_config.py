"""config.py: one table of settings, read from flags, environment and file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lambdad import config
from lambdad.errors import StartupError
from lambdad.model.image import Registry

ACCESS_POINT = "arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/fsap-0123456789abcdef0"
OTHER_ACCESS_POINT = ACCESS_POINT[:-1] + "1"


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_field_of_settings_has_one_row_in_the_table() -> None:
    """The table and the record cannot drift apart."""
    assert [setting.name for setting in config.SETTINGS] == [field.name for field in dataclasses.fields(config.Settings)]


def test_defaults() -> None:
    """Without anything given, lambdad listens on loopback port 4566 and keeps its data in the user's own folder."""
    settings = config.load({}, {"HOME": "/home/ada"})
    assert (settings.host, settings.port, settings.auth, settings.isolation) == ("127.0.0.1", 4566, "off", "auto")
    assert settings.data_dir == Path("/home/ada/.local/share/lambdad")
    assert settings.cache_dir == Path("/home/ada/.cache/lambdad")
    assert settings.memory_budget_mb >= 128
    assert not settings.checks_signatures


def test_xdg_folders_are_honoured_when_absolute() -> None:
    """XDG_DATA_HOME moves the data folder; a relative value counts as not set, as the XDG rules say."""
    environment = {"HOME": "/home/ada", "XDG_DATA_HOME": "/srv/data", "XDG_CACHE_HOME": "relative"}
    settings = config.load({}, environment)
    assert settings.data_dir == Path("/srv/data/lambdad")
    assert settings.cache_dir == Path("/home/ada/.cache/lambdad")


def test_precedence(tmp_path: Path) -> None:
    """A flag wins over the environment, the environment over the file, the file over the default."""
    (tmp_path / "lambdad.toml").write_text("port = 1001\nspares = 1\nregion = 'eu-west-1'\n")
    settings = config.load({"port": "1003"}, {"LAMBDAD_PORT": "1002", "LAMBDAD_SPARES": "3"})
    assert (settings.port, settings.spares, settings.region, settings.quotas) == (1003, 3, "eu-west-1", "current")


def test_an_empty_variable_counts_as_not_set() -> None:
    """`LAMBDAD_PORT=` in a compose file means the default."""
    assert config.load({}, {"LAMBDAD_PORT": ""}).port == 4566


def test_the_file_is_the_named_one(tmp_path: Path) -> None:
    """--config wins over LAMBDAD_CONFIG, that over lambdad.toml in the working directory."""
    for name, port in (("lambdad.toml", 1), ("variable.toml", 2), ("flag.toml", 3)):
        (tmp_path / name).write_text(f"port = {port}\n")
    assert config.load({}, {}).port == 1
    assert config.load({}, {"LAMBDAD_CONFIG": "variable.toml"}).port == 2
    assert config.load({}, {"LAMBDAD_CONFIG": "variable.toml"}, config_file=Path("flag.toml")).port == 3


def test_relative_paths(tmp_path: Path) -> None:
    """A relative path in the file starts from the file's folder, one in a flag from the working directory."""
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "lambdad.toml").write_text('data_dir = "data"\n')
    settings = config.load({"cache_dir": "cache"}, {}, config_file=Path("etc/lambdad.toml"))
    assert settings.data_dir == folder / "data"
    assert settings.cache_dir == tmp_path / "cache"


def test_true_and_false_are_on_and_off(tmp_path: Path) -> None:
    """TOML has booleans, so `auth = true` is understood."""
    (tmp_path / "lambdad.toml").write_text("auth = true\n")
    assert config.load({}, {}).auth == "on"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "65536"),
        ("port", "-1"),
        ("port", "4566 "),
        ("port", "٤٥٦٦"),
        ("port", "9" * 5000),
        ("port", "tcp://10.0.0.1:4566"),
        ("host", "a b"),
        ("host", "evil\nhost"),
        ("data_dir", "a\0b"),
        ("data_dir", "~nobody-of-this-name/x"),
        ("isolation", "none"),
        ("auth", "ON"),
        ("quotas", "2020"),
        ("quota_overrides", "concurrent_executions"),
        ("quota_overrides", "concurrent_executions=-1"),
        ("quota_overrides", "concurrent_executions=1,concurrent_executions=2"),
        ("quota_overrides", "concurrent_executions=1,"),
        ("quota_overrides", "patience=1"),
        ("runtime_substitutes", "ruby2.5"),
        ("runtime_substitutes", "a=b,a=c"),
        ("runtime_substitutes", "../x=b1"),
        ("memory_budget_mb", "127"),
        ("keep_alive_seconds", "nan"),
        ("keep_alive_seconds", "1e3"),
        ("keep_alive_seconds", "86401"),
        ("inactive_after_days", "3651"),
        ("inactive_after_days", "0.5"),
        ("inactive_after_days", "Never"),
        ("spares", "65"),
        ("log_level", "trace"),
        ("account_id", "12345678901"),
        ("account_id", "12345678901x"),
        ("region", "US-EAST-1"),
        ("region", "../../etc"),
        ("drain_seconds", ""),
        ("file_systems", "/srv/data"),
        ("file_systems", f"{ACCESS_POINT}=data"),
        ("file_systems", f"{ACCESS_POINT}="),
        ("file_systems", f"{ACCESS_POINT}=/a\0b"),
        ("file_systems", f"{ACCESS_POINT}=/a,"),
        ("file_systems", f"{ACCESS_POINT}=/a,{ACCESS_POINT}=/b"),
        ("file_systems", "arn:aws:s3:::bucket=/a"),
        ("image_folders", "images"),
        ("image_folders", "/srv/images,"),
        ("image_folders", "/srv/../etc"),
        ("registries", "registry.example.com/team"),
        ("registries", "ftp://registry.example.com"),
        ("registries", "registry.example.com,,"),
        ("registries", "registry.example.com:99999"),
    ],
)
def test_a_bad_value_is_refused_with_its_source_and_what_is_wanted(name: str, text: str) -> None:
    """The sentence names the flag, what it must be and what came."""
    with pytest.raises(StartupError) as refusal:
        config.load({name: text}, {})
    setting = next(setting for setting in config.SETTINGS if setting.name == name)
    assert str(refusal.value) == f"{setting.flag} must be {setting.values}, not {text!r}."


def test_single_quotas_are_replaced() -> None:
    """By name; the profile stays for the others, and what the server shows of its quotas names them."""
    settings = config.load({"quotas": "2021", "quota_overrides": "concurrent_executions=5000,layers=9"}, {})
    assert settings.quota_overrides == {"concurrent_executions": 5000, "layers": 9}
    assert settings.quotas_shown == "2021, concurrent_executions=5000, layers=9"
    assert config.load({}, {}).quota_overrides == {}
    assert config.load({}, {}).quotas_shown == "current"


@pytest.mark.parametrize(("text", "days"), [("never", None), ("0", None), ("1", 1), ("3650", 3650)])
def test_functions_become_inactive_or_never(text: str, days: int | None) -> None:
    """After 14 days unless another number is given."""
    assert config.load({"inactive_after_days": text}, {}).inactive_after_days == days
    assert config.load({}, {}).inactive_after_days == 14


def test_where_images_may_come_from() -> None:
    """Folders and registries with commas between them; a password is not in what is printed of the settings."""
    given = {
        "image_folders": "/srv/images,/opt/more",
        "registries": "Registry.Example.com,https://me:p%40ss@other.example.com:5000,http://localhost:5000/",
    }
    settings = config.load(given, {})
    assert settings.image_folders == (Path("/srv/images"), Path("/opt/more"))
    assert settings.registries == (
        Registry("registry.example.com"),
        Registry("other.example.com:5000", "me", "p@ss"),
        Registry("localhost:5000", is_insecure=True),
    )
    assert "p@ss" not in repr(settings)
    assert (config.load({}, {}).image_folders, config.load({}, {}).registries) == ((), ())


def test_a_bad_value_in_the_environment_names_the_variable() -> None:
    """Kubernetes sets LAMBDAD_PORT for a service called lambdad; the sentence shows where it came from."""
    with pytest.raises(StartupError, match=r"^LAMBDAD_PORT must be a number from 0 to 65535, not 'tcp://x'\.$"):
        config.load({}, {"LAMBDAD_PORT": "tcp://x"})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("prot = 1", "has 'prot', which is not a setting. Did you mean 'port'?"),
        ("[lambda]\nx = 1", "has 'lambda', which is not a setting. The settings are port, host"),
        ("port = [1]", "'port' in the settings file lambdad.toml must be a text or a number, not a list."),
        ("[port]\nx = 1", "'port' in the settings file lambdad.toml must be a text or a number, not a dict."),
        ("port = true", "'port' in lambdad.toml must be a number from 0 to 65535, not 'on'."),
        ("port = ", "is not valid TOML"),
        ("port = 1\nport = 2", "is not valid TOML"),
    ],
)
def test_a_bad_file_is_refused_with_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    """Unknown keys, wrong types and syntax errors name the file and what is wrong in it."""
    (tmp_path / "lambdad.toml").write_text(text)
    with pytest.raises(StartupError) as refusal:
        config.load({}, {})
    assert sentence in str(refusal.value)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    """A named file must be readable; nothing falls back to the defaults."""
    with pytest.raises(StartupError, match=r"absent\.toml cannot be read: No such file or directory\."):
        config.load({}, {}, config_file=Path("absent.toml"))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(StartupError, match="not UTF-8"):
        config.load({}, {"LAMBDAD_CONFIG": "binary.toml"})


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.com", "localhost.example.com"])
def test_listening_beyond_loopback_needs_authentication(host: str) -> None:
    """It refuses to listen beyond loopback without authentication, and says what to do."""
    with pytest.raises(StartupError, match=f"does not listen on {host} without authentication: use --auth on"):
        config.load({"host": host}, {})
    assert config.load({"host": host, "auth": "on"}, {}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    """Every loopback address counts."""
    assert config.load({"host": host}, {}).host == host


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::", "http://[::1]:1"),
        ("::1", "http://[::1]:1"),
        ("localhost", "http://localhost:1"),
    ],
)
def test_endpoint_url(host: str, url: str) -> None:
    """Clients on this machine reach a server that listens everywhere by loopback."""
    assert config.endpoint_url(host, 1) == url


def test_unknown_variables_are_named() -> None:
    """A misspelt variable has no effect, so it is pointed out; known ones are not."""
    environment = {"LAMBDAD_PROT": "1", "LAMBDAD_PORT": "1", "LAMBDAD_CONFIG": "x", "PATH": "/bin"}
    assert config.unknown_variables(environment) == ["LAMBDAD_PROT"]


def test_the_reference_table_has_every_setting() -> None:
    """Flag, variable, default and meaning of each setting stand in the documentation's table."""
    table = config.reference_table()
    for setting in config.SETTINGS:
        assert (
            f"| `{setting.name}` | `{setting.flag}` | `{setting.variable}` | {setting.default_shown} | {setting.help}" in table
        )


def test_endpoints(tmp_path: Path) -> None:
    """A table of the settings file, or a setting each; none by default."""
    assert config.load({}, {}).endpoints == {}
    (tmp_path / "lambdad.toml").write_text('[endpoints]\nsqs = "https://sqs.eu-west-1.amazonaws.com/"\nsns = "http://h:1"\n')
    settings = config.load({"endpoint_sns": "http://flag:2"}, {"LAMBDAD_ENDPOINT_EVENTS": "http://variable:3"})
    assert settings.endpoints == {
        "sqs": "https://sqs.eu-west-1.amazonaws.com", "sns": "http://flag:2", "events": "http://variable:3",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[endpoints]\nsqs = 'nowhere'", "'endpoint_sqs' in lambdad.toml must be a URL such as"),
        ("[endpoints]\nkinesis = 'http://h'", "'endpoint_kinesis', which is not a setting"),
        ("endpoints = 'http://h'", "must be a table"),
        ("[endpoints.sqs]\nurl = 'http://h'", "must be a text or a number"),
    ],
)
def test_endpoints_that_are_refused(tmp_path: Path, text: str, said: str) -> None:
    """With a sentence that says which and why."""
    (tmp_path / "lambdad.toml").write_text(text)
    with pytest.raises(StartupError, match=said):
        config.load({}, {})


def test_substitutes_of_runtimes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table in the file, pairs in a flag or a variable; none is there by default."""
    assert config.load({}, {}).runtime_substitutes == {}
    file = tmp_path / "lambdad.toml"
    file.write_text('[runtimes]\n"ruby2.5" = "ruby2.7"\n"java8" = "java11"\n')
    assert config.load({}, {}, config_file=file).runtime_substitutes == {"ruby2.5": "ruby2.7", "java8": "java11"}
    flags = {"runtime_substitutes": "nodejs14.x=nodejs16.x"}
    assert config.load(flags, {}, config_file=file).runtime_substitutes == {"nodejs14.x": "nodejs16.x"}
    for text in ("runtimes = 1", "[runtimes]\nruby = 2"):
        file.write_text(text)
        with pytest.raises(StartupError, match="must be a table of texts"):
            config.load({}, {}, config_file=file)


def test_file_systems(tmp_path: Path) -> None:
    """A table of the settings file, or pairs; a flag replaces the whole table."""
    assert config.load({}, {}).file_systems == {}
    (tmp_path / "lambdad.toml").write_text(
        f'[file_systems]\n"{ACCESS_POINT}" = "/srv/my data=1"\n"{OTHER_ACCESS_POINT}" = "/b"\n'
    )
    assert config.load({}, {}).file_systems == {ACCESS_POINT: Path("/srv/my data=1"), OTHER_ACCESS_POINT: Path("/b")}
    settings = config.load({"file_systems": f"{ACCESS_POINT}=/c"}, {"LAMBDAD_FILE_SYSTEMS": f"{ACCESS_POINT}=/d"})
    assert settings.file_systems == {ACCESS_POINT: Path("/c")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"[file_systems]\n'{ACCESS_POINT}' = 'srv'", "'file_systems' in lambdad.toml must be pairs ARN=FOLDER"),
        (f"[file_systems]\n'{ACCESS_POINT}' = '/a,b'", "must be a folder's path without a comma"),
        (f"[file_systems]\n'{ACCESS_POINT}' = 1", "must be a folder's path without a comma"),
        (f"[file_systems.'{ACCESS_POINT}']\nfolder = '/a'", "must be a folder's path without a comma"),
        ("[file_systems]\ndata = '/a'", "'file_systems' in lambdad.toml must be pairs ARN=FOLDER"),
    ],
)
def test_file_systems_that_are_refused(tmp_path: Path, text: str, said: str) -> None:
    """With a sentence that says which and why."""
    (tmp_path / "lambdad.toml").write_text(text)
    with pytest.raises(StartupError, match=said):
        config.load({}, {})
