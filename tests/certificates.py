"""Certificates for one test, made by openssl, and how dask is told of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def make(folder: Path) -> tuple[str, str]:
    """A certificate that vouches for itself, and its key; the test is skipped where there is no openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the program openssl, which makes the certificates")
    folder.mkdir(parents=True, exist_ok=True)
    files = str(folder / "cert.pem"), str(folder / "key.pem")
    names = ("-subj", "/CN=localhost", "-days", "2", "-out", files[0], "-keyout", files[1])
    subprocess.run([openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names], check=True, capture_output=True)
    return files


def surroundings(cert: str, key: str) -> dict[str, str]:
    """The environment that gives them to a client, as docs/scaling.md says."""
    tls = "DASK_DISTRIBUTED__COMM__TLS__"
    return {f"{tls}CA_FILE": cert, f"{tls}CLIENT__CERT": cert, f"{tls}CLIENT__KEY": key}
