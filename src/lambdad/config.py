"""Settings: one table, and the only code that reads flags and the environment, and asks for the settings file.

A flag wins over the environment, the environment over the file, the file over the default.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambdad import setting_text as read_as
from lambdad.errors import StartupError
from lambdad.model.image import Registry
from lambdad.model.quota import QUOTA_NAMES
from lambdad.model.request import DEFAULT_ACCOUNT_ID, DEFAULT_REGION
from lambdad.setting_text import DEFAULT_PORT as DEFAULT_PORT
from lambdad.settings_file import read_file

PREFIX = "LAMBDAD_"
CONFIG_VARIABLE = "LAMBDAD_CONFIG"  #: names the settings file, as --config does
CONFIG_FILE = "lambdad.toml"  #: read from the working directory when nothing else is named

Environment = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, parsed and checked. A part is handed the values it needs, not this record."""

    port: int  #: 0 means any free port
    host: str
    data_dir: Path
    cache_dir: Path
    runtime_substitutes: Mapping[str, str]  #: runtime -> the one whose interpreter runs it where it has none
    isolation: str  #: "auto", "namespace", "oci" or "process"
    oci_runtime: str  #: the name of a program, or its absolute path; empty where nothing was said
    cpu: str  #: "weight" or "strict"
    network: str  #: "auto", "nat" or "none"
    auth: str  #: "on" or "off"
    quotas: str  #: "current" or "2021"
    quota_overrides: Mapping[str, int]  #: single figures of `model/quota.py` that replace those
    memory_budget_mb: int
    keep_alive_seconds: float
    inactive_after_days: int | None  #: None for never
    spares: int
    pre_booted: int
    log_level: str  #: "debug", "info", "warning" or "error"
    account_id: str
    region: str
    drain_seconds: float
    file_systems: Mapping[str, Path]  #: ARN of an access point -> folder that functions see as it
    image_folders: tuple[Path, ...]  #: absolute
    registries: tuple[Registry, ...]
    image_pull_seconds: float
    image_disk_mb: int  #: 0 for half of the disk
    image_disk_files: int  #: 0 for half of the disk's
    image_share_mb: int  #: 0 for a quarter of the disk
    endpoint_sqs: str  #: URL; empty when there is none
    endpoint_sns: str
    endpoint_events: str

    @property
    def endpoints(self) -> dict[str, str]:
        """Service -> URL of those that are elsewhere."""
        urls = {"sqs": self.endpoint_sqs, "sns": self.endpoint_sns, "events": self.endpoint_events}
        return {service: url for service, url in urls.items() if url}

    @property
    def quotas_shown(self) -> str:
        return ", ".join([self.quotas, *(f"{name}={number}" for name, number in self.quota_overrides.items())])

    @property
    def database(self) -> Path:
        return self.data_dir / "lambdad.sqlite"

    @property
    def checks_signatures(self) -> bool:
        return self.auth == "on"


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the table: where a setting comes from, how its text is read and what it is for."""

    name: str  #: field of Settings and key in the settings file
    metavar: str  #: the value's name in `lambdad up --help`
    values: str  #: what the text may be: "must be <values>"
    parse: Callable[[str], Any]  #: ValueError when the text is none of `values`
    default: str | Callable[[Environment], str]  #: text, read by `parse` like any other
    help: str
    default_text: str = ""  #: what the documentation says of a default that is worked out

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()

    @property
    def default_shown(self) -> str:
        return self.default_text or str(self.default)

    @property
    def meaning(self) -> str:
        says_it_all = "|" in self.metavar or self.metavar == "PATH"
        return self.help if says_it_all else f"{self.help} Must be {self.values}."

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


def load(flags: Mapping[str, str | None], environment: Environment, *, config_file: Path | None = None) -> Settings:
    """The settings of a server to be started: as `read`, and fit to listen with."""
    settings = read(flags, environment, config_file=config_file)
    if not settings.checks_signatures and not is_loopback(settings.host):
        raise StartupError(
            f"lambdad does not listen on {settings.host} without authentication: use --auth on, or a loopback address."
        )
    return settings


def read(flags: Mapping[str, str | None], environment: Environment, *, config_file: Path | None = None) -> Settings:
    """The settings in force. `flags` are the command line's, by setting name, None where not given."""
    file = _settings_file(config_file, environment)
    texts_of_file = read_file(file, [setting.name for setting in SETTINGS]) if file is not None else {}
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        text, source, folder = _find(setting, flags, environment, texts_of_file, file)
        values[setting.name] = _parse(setting, text, source, folder)
    return Settings(**values)


def endpoint_url(host: str, port: int) -> str:
    """The URL under which clients on this machine reach a server that listens at `host` and `port`."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def is_loopback(host: str) -> bool:
    """Names other than localhost count as beyond loopback: what they resolve to may change."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def unknown_variables(environment: Environment) -> list[str]:
    """LAMBDAD_ variables that are no setting: worth a warning, since a misspelt one has no effect.

    They are not refused, because orchestrators add variables named after services (LAMBDAD_SERVICE_HOST).
    """
    known = {CONFIG_VARIABLE} | {setting.variable for setting in SETTINGS}
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in known)


def reference_table() -> str:
    """The table of settings in Markdown, for docs/reference/settings.md."""
    lines = ["| setting | flag | environment | default | meaning |", "| --- | --- | --- | --- | --- |"]
    for setting in SETTINGS:
        cells = (f"`{setting.name}`", f"`{setting.flag}`", f"`{setting.variable}`", setting.default_shown, setting.meaning)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _settings_file(named: Path | None, environment: Environment) -> Path | None:
    if named is not None:
        return named
    if environment.get(CONFIG_VARIABLE):
        return Path(environment[CONFIG_VARIABLE]).expanduser()
    return Path(CONFIG_FILE) if Path(CONFIG_FILE).is_file() else None


def _find(
    setting: Setting,
    flags: Mapping[str, str | None],
    environment: Environment,
    texts_of_file: Mapping[str, str],
    file: Path | None,
) -> tuple[str, str, Path]:
    """A setting's text, where it came from, and the folder that a relative path in it starts from."""
    here = Path.cwd()
    flag = flags.get(setting.name)
    if flag is not None:
        return flag, setting.flag, here
    if environment.get(setting.variable):
        return environment[setting.variable], setting.variable, here
    if file is not None and setting.name in texts_of_file:
        return texts_of_file[setting.name], f"{setting.name!r} in {file}", file.absolute().parent
    default = setting.default if isinstance(setting.default, str) else setting.default(environment)
    return default, "the default", here


def _parse(setting: Setting, text: str, source: str, folder: Path) -> Any:
    try:
        value = setting.parse(text)
    except ValueError as error:
        raise StartupError(f"{source} must be {setting.values}, not {text!r}.") from error
    return folder / value if isinstance(value, Path) else value


def _base_folder(variable: str, otherwise: str) -> Callable[[Environment], str]:
    """The XDG base folder rules: a variable that is not absolute counts as not set."""

    def default(environment: Environment) -> str:
        base = environment.get(variable, "")
        return str(Path(base if base.startswith("/") else Path(environment.get("HOME") or "~") / otherwise) / "lambdad")

    return default


def _memory_share(environment: Environment) -> str:
    """Three quarters of what the machine, or the control group that we are in, has."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        path = Path(file)
        limit = path.read_text(encoding="ascii").strip() if path.is_file() else "max"
        memory = min(memory, int(limit)) if limit.isdigit() else memory
    return str(max(128, memory * 3 // 4 // 2**20))


#: Positions: name, metavar, values, parse, default, help.
SETTINGS: tuple[Setting, ...] = (
    Setting(
        "port", "PORT", "a number from 0 to 65535", read_as.whole(0, 65535), str(DEFAULT_PORT),
        "Port of the AWS endpoint; 0 takes any free one.",
    ),
    Setting(
        "host", "ADDRESS", "an address or a host name", read_as.matching(r"[0-9A-Za-z.:_-]{1,253}(%\w+)?"), "127.0.0.1",
        "Address to listen on; beyond loopback only with `--auth on`.",
    ),
    Setting(
        "data_dir", "PATH", "a path", read_as.path, _base_folder("XDG_DATA_HOME", ".local/share"),
        "Folder of everything that must last: functions, objects, events, logs. One server at a time.",
        default_text="~/.local/share/lambdad",
    ),
    Setting(
        "cache_dir", "PATH", "a path", read_as.path, _base_folder("XDG_CACHE_HOME", ".cache"),
        "Folder of what can be made again, such as SDKs for the runtimes.",
        default_text="~/.cache/lambdad",
    ),
    Setting(
        "runtime_substitutes", "NAME=NAME,...", "pairs such as ruby2.5=ruby2.7, separated by commas", read_as.substitutes, "",
        "Runtimes that run on another one's interpreter where they have none of their own; none is ever taken unasked. In the "
        "settings file a table: `[runtimes]`, with lines such as `\"ruby2.5\" = \"ruby2.7\"`.",
        default_text="none",
    ),
    Setting(
        "isolation", "auto|namespace|oci|process", "auto, namespace, oci or process",
        read_as.one_of("auto", "namespace", "oci", "process"), "auto",
        "How functions are kept apart. `auto` is the strongest of lambdad's own ways on this machine, never `process`, which "
        "isolates nothing. `oci` leaves it to an OCI runtime.",
    ),
    Setting(
        "oci_runtime", "PROGRAM", "the name of a program or its absolute path",
        read_as.matching(r"|[\w.+-]{1,80}|/[^\0]{1,4095}"), "",
        "The OCI runtime that makes the sandboxes, such as runc, crun or gVisor's runsc. Only with `--isolation oci`.",
        default_text="runc",
    ),
    Setting(
        "cpu", "weight|strict", "weight or strict", read_as.one_of("weight", "strict"), "weight",
        "How functions share the processors. `weight`: in proportion to their memory, and what is idle is anybody's. `strict`: "
        "no more than AWS gives, one processor for each 1,769 MB up to six; Init runs at full speed.",
    ),
    Setting(
        "network", "auto|nat|none", "auto, nat or none", read_as.one_of("auto", "nat", "none"), "auto",
        "Where functions get besides the AWS endpoint: `nat`, outside, with this machine's address, but not to this machine; "
        "`none`, nowhere. `auto` is `nat` where this machine can.",
    ),
    Setting(
        "auth", "on|off", "on or off", read_as.one_of("on", "off"), "off",
        "Whether requests must be signed, the first with a key made by `lambdad credentials create`, and IAM's policies are "
        "evaluated.",
    ),
    Setting(
        "quotas", "current|2021", "current or 2021", read_as.one_of("current", "2021"), "current",
        "Whose limits apply: AWS's of today, or those of 2021.",
    ),
    Setting(
        "quota_overrides", "NAME=NUMBER,...", f"pairs NAME=NUMBER, separated by commas, of {', '.join(QUOTA_NAMES)}",
        read_as.quota_overrides, "",
        "Single limits that replace those, as AWS raises them for an account: `concurrent_executions=5000`.",
        default_text="none",
    ),
    Setting(
        "memory_budget_mb", "MB", "a number from 128 to 1073741824", read_as.whole(128, 2**30), _memory_share,
        "Sum of the memory sizes of all execution environments at a time, in MB.",
        default_text="three quarters of the machine's memory",
    ),
    Setting(
        "keep_alive_seconds", "SECONDS", "seconds from 0 to 86400", read_as.seconds(86_400), "600",
        "How long an idle execution environment waits for its next invocation.",
    ),
    Setting(
        "inactive_after_days", "DAYS|never", "whole days from 1 to 3650, or never (or 0)", read_as.days_or_never(3650), "14",
        "How long a function made of an image, or a version with SnapStart, stays Active without an invocation. Then what was "
        "unpacked or kept for it is removed, and the next invocation is refused while it is made again.",
    ),
    Setting(
        "spares", "NUMBER", "a number from 0 to 64", read_as.whole(0, 64), "2",
        "Sandboxes made ahead of need, for each runtime in use.",
    ),
    Setting(
        "pre_booted", "NUMBER", "a number from 0 to 16", read_as.whole(0, 16), "1",
        "Interpreters booted ahead of need that wait for a function, "
        "for each Node.js, Java or Ruby runtime and memory size in use.",
    ),
    Setting(
        "log_level", "LEVEL", "debug, info, warning or error", read_as.one_of("debug", "info", "warning", "error"), "info",
        "The least that the server's own log says.",
    ),
    Setting(
        "account_id", "DIGITS", "12 digits", read_as.matching(r"\d{12}"), DEFAULT_ACCOUNT_ID,
        "Account of requests whose credentials name none.",
    ),
    Setting(
        "region", "REGION", "a region's name such as us-east-1",
        read_as.matching(r"[a-z]{2,4}(-[a-z]+){1,3}-\d{1,2}"), DEFAULT_REGION,
        "Region of requests that name none.",
    ),
    Setting(
        "drain_seconds", "SECONDS", "seconds from 0 to 3600", read_as.seconds(3600), "30",
        "How long running invocations may take to finish when the server is told to stop.",
    ),
    Setting(
        "file_systems", "ARN=FOLDER,...", "pairs ARN=FOLDER, separated by commas: access points' ARNs and absolute paths",
        read_as.file_systems, "",
        "Folders that functions can mount as file systems, by the ARNs of the access points that they stand for. In the "
        "settings file: `\"ARN\" = \"/folder\"` in the table `[file_systems]`.",
        default_text="none",
    ),
    Setting(
        "image_folders", "PATH,...", "absolute paths, separated by commas", read_as.folders, "",
        "Folders from which functions may be made of images (`oci:PATH`, `docker-archive:PATH`), and those in them.",
        default_text="none",
    ),
    Setting(
        "registries", "URL,...", "URLs such as https://USER:PASSWORD@registry.example.com, separated by commas",
        read_as.registries, "",
        "Registries elsewhere from which functions may be made of images; http:// for one without TLS.",
        default_text="none",
    ),
    Setting(
        "image_pull_seconds", "SECONDS", "seconds from 0 to 86400", read_as.seconds(86400), "900",
        "How long a registry elsewhere may take to send the layers of an image, after which its function is Failed.",
    ),
    Setting(
        "image_disk_mb", "MB", "a number from 0 to 1073741824", read_as.whole(0, 2**30), "0",
        "How much of the disk the unpacked files of images may take, all together; 0 is half of the disk that the data folder "
        "is on. A function whose image has no room is Failed; files that a function uses are never removed for another's.",
        default_text="half of the disk",
    ),
    Setting(
        "image_disk_files", "NUMBER", "a number from 0 to 10^12 - 1", read_as.whole(0, 10**12 - 1), "0",
        "As `image_disk_mb`: how many files and folders those may be. What images share counts once.",
        default_text="half of what the disk may have",
    ),
    Setting(
        "image_share_mb", "MB", "a number from 0 to 1073741824", read_as.whole(0, 2**30), "0",
        "How much of the disk the images in the repositories of one account may take, as they are kept; 0 is a quarter of the "
        "disk that the data folder is on. What the account has several times counts once. A push of more is refused.",
        default_text="a quarter of the disk",
    ),
    *(
        Setting(
            f"endpoint_{service}", "URL", f"a URL such as https://{service}.eu-central-1.amazonaws.com", read_as.endpoint, "",
            f"Where {name} is, for destinations and dead-letter queues; without it such targets are refused. Requests are "
            f"signed with the credentials of the environment. In the settings file: `{service}` in the table `[endpoints]`.",
            default_text="none",
        )
        for service, name in (("sqs", "SQS"), ("sns", "SNS"), ("events", "EventBridge"))
    ),
)  # fmt: skip
