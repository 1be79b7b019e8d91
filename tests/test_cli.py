import os
import subprocess
import sys
from pathlib import Path

import pytest

import labkit

LABKIT = Path(sys.executable).with_name("labkit")


def command(*words, **environment):
    return subprocess.run(
        [LABKIT, *map(str, words)],
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
    )


def test_version_names_the_backend():
    done = command("--version")
    assert done.stdout.strip() == f"labkit {labkit.__version__} ({labkit.backend()} backend)"


def test_a_mistyped_parameter_is_refused_with_the_valid_ones(tmp_path):
    done = command("run", "triangular_arbitrage", "-p", "typo", "1", "--out", tmp_path)
    assert done.returncode == 2
    assert "triangular_arbitrage has no parameter 'typo'; it has dataset, " in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spelling", [("-p", "seed", "x"), ("-p", "seed=x")])
def test_both_spellings_of_a_parameter_are_read(spelling, tmp_path):
    done = command("run", "triangular_arbitrage", *spelling, "--out", tmp_path)
    assert done.returncode == 2
    assert "parameter seed must be int like its default" in done.stderr


def test_a_parameter_without_value_or_given_twice_is_refused(tmp_path):
    assert command("run", "triangular_arbitrage", "-p", "seed").returncode == 2
    done = command("run", "triangular_arbitrage", "-p", "seed=1", "-p", "seed=2")
    assert done.returncode == 2
    assert "given twice" in done.stderr


def test_data_commands(no_recordings, tmp_path):
    away = {"LABKIT_DATA_MIRROR": "", "LABKIT_DATA_CACHE": str(tmp_path)}
    listed = command("data", "list", **away)
    assert "simulated_triangle" in listed.stdout
    assert command("data", "verify", **away).returncode == 0
    done = command("data", "verify", "poloniex_triangle_20220821", **away)
    assert done.returncode == 1
    assert "labkit data fetch poloniex_triangle_20220821" in done.stdout
    assert command("data", "fetch", "nope", **away).returncode == 2
    assert command("data", "fetch", **away).returncode == 2
    assert command("data", "fetch", "simulated_triangle", **away).returncode == 0


def test_doctor_says_what_is_missing_and_what_to_do(tmp_path):
    done = command("doctor", LABKIT_DATA_MIRROR="", LABKIT_DATA_CACHE=str(tmp_path))
    assert done.returncode == 0
    assert labkit.backend() in done.stdout
    assert "labkit data fetch poloniex_triangle_20220821" in done.stdout


def test_results_without_runs_say_so(tmp_path):
    done = command("results", "triangular_arbitrage", "--out", tmp_path)
    assert done.returncode == 2
    assert "no runs in" in done.stderr
