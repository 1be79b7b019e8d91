"""What is promised of the repository as a whole."""

import re
import subprocess
import tomllib

import pytest
import yaml

from labkit._paths import project_root

ROOT = project_root()


@pytest.fixture(scope="module")
def files():
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode != 0:
        pytest.skip("not a git clone, so there is no list of committed files")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def texts(files):
    return {
        path: path.read_text(encoding="utf-8")
        for path in files
        if path.suffix not in (".parquet", ".png", ".ico")
    }


def test_no_file_is_over_a_megabyte(files):
    assert [path.name for path in files if path.stat().st_size > 1_000_000] == []


SECRETS = [
    r"AKIA[0-9A-Z]{16}",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    r"gh[pousr]_[A-Za-z0-9]{36}",
    r"(?i)(api_?key|secret|password|token)\s*[=:]\s*['\"][A-Za-z0-9+/_-]{16,}['\"]",
]


@pytest.mark.parametrize("pattern", SECRETS)
def test_no_secret_is_committed(texts, pattern):
    assert [str(p) for p, text in texts.items() if re.search(pattern, text)] == []


def test_no_package_registry_is_named(texts):
    hosts = r"pypi\.org|pythonhosted|registry\.npmjs|static\.crates\.io|index\.crates\.io"
    here = ROOT / "tests" / "test_repository.py"
    assert [str(p) for p, text in texts.items() if p != here and re.search(hosts, text)] == []


def test_no_absolute_path_of_a_machine_is_committed(texts):
    pattern = r"(?<![\w.~/>-])/(home|root|work|Users)/\w"
    here = {ROOT / "tests" / name for name in ("test_repository.py", "test_notebooks.py")}
    assert [str(p) for p, t in texts.items() if p not in here and re.search(pattern, t)] == []


def requirement(text):
    name, bounds = re.fullmatch(r"([A-Za-z0-9_.-]+)(.*)", text.replace(" ", "")).groups()
    return name.lower().replace("_", "-"), tuple(sorted(filter(None, bounds.split(","))))


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_conda_environment_equals_pyproject():
    wanted = project()["dependencies"] + [
        text
        for extra in ("book", "dask", "dev")
        for text in project()["optional-dependencies"][extra]
    ]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    listed = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip[-1] == "--editable ."
    given = {requirement(text) for text in [*listed, *pip[:-1]]}
    tools = {"python", "rust", "make", "pip"}
    assert {pair for pair in given if pair[0] not in tools} == {requirement(t) for t in wanted}
    assert ("python", (project()["requires-python"],)) in given
    workspace = tomllib.loads((ROOT / "rust_kernels" / "Cargo.toml").read_text(encoding="utf-8"))
    assert ("rust", (f">={workspace['workspace']['package']['rust-version']}",)) in given


def test_every_requirement_is_pinned_within_its_bounds():
    from packaging.requirements import Requirement

    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pins = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    groups = [project()["dependencies"], *project()["optional-dependencies"].values()]
    for text in (text for group in groups for text in group):
        wanted = Requirement(text)
        assert wanted.specifier.contains(pins[wanted.name.lower()]), text


def test_each_requirement_says_why_it_is_there():
    source = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    groups = [project()["dependencies"], *project()["optional-dependencies"].values()]
    for text in (text for group in groups for text in group):
        assert re.search(rf'"{re.escape(text)}",\s+# \w', source), text


def test_one_version_everywhere():
    import labkit

    workspace = tomllib.loads((ROOT / "rust_kernels" / "Cargo.toml").read_text(encoding="utf-8"))
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    versions = {
        labkit.__version__,
        project()["version"],
        workspace["workspace"]["package"]["version"],
        citation["version"],
    }
    assert len(versions) == 1


def test_ci_runs_the_two_commands_of_the_readme():
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in ("make test", "make book"):
        assert f"\n{command}\n" in gate
        assert command in readme


def test_a_topic_has_its_name_in_every_layer():
    """Kernel, binding, reference, public module and tests: one topic, one name."""
    topics = {p.stem for p in (ROOT / "rust_kernels" / "core" / "src").glob("*.rs")}
    topics -= {"lib", "error", "philox"}
    reference = {p.stem for p in (ROOT / "labkit" / "reference").glob("[!_]*.py")}
    bindings = {p.stem for p in (ROOT / "rust_kernels" / "python" / "src").glob("*.rs")}
    assert topics == reference
    assert topics <= bindings
    for topic in topics:
        assert (ROOT / "labkit" / f"{topic}.py").is_file()
        assert (ROOT / "tests" / f"test_{topic}.py").is_file()
