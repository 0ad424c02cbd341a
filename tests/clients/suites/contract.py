"""buf: the contract is in its form, and `buf curl` lists for each caller what that caller may see."""

import os
import subprocess

from kit.beside import node
from kit.check import SkipSuite, equal, holds
from kit.installation import ROOT, Caller, Installation, subscription
from suites.python_client import BREAKERS, CATALOG, COUPON, REBATE

# Longest time of one command of buf, seconds.
BUF_S_MAX = 120


def run(suite) -> None:
    buf = node() / "node_modules" / ".bin" / "buf"
    if not buf.exists():
        raise SkipSuite("the npm package @bufbuild/buf has no program for this machine")
    with suite.case("buf lint is clean"):
        done = subprocess.run([buf, "lint"], cwd=ROOT, capture_output=True, text=True, timeout=BUF_S_MAX)
        equal((done.returncode, done.stdout + done.stderr), (0, ""))
    callers = [
        Caller("operator", [subscription("*", "internal")], roles=["operator"]),
        Caller("shop", [subscription("*", "standard"), subscription(COUPON, "standard")]),
        Caller("stranger"),
    ]
    with Installation(callers) as installation:
        methods = lambda name: set(listed(buf, installation, name, "--list-methods"))
        services = lambda name: {method.rsplit("/", 1)[0] for method in methods(name)}
        with suite.case("buf curl --list-methods differs by subscription, as the catalog says"):
            shop, stranger = methods("shop"), methods("stranger")
            holds(f"{COUPON}/RedeemCoupon" in shop, f"shop: {sorted(shop)}")
            only = {method.rsplit("/", 1)[0] for method in shop - stranger}
            equal((only, stranger - shop), ({COUPON}, set()), "(only for the shop, only for the stranger)")
            print(f"        shop {len(shop)} methods, stranger {len(stranger)}")
        with suite.case("buf curl --list-methods: operators see the breakers, callers without a key what is public"):
            holds(BREAKERS in services("operator") and BREAKERS not in services("shop"), "breakers")
            anonymous = services("")
            holds(CATALOG in anonymous and REBATE not in anonymous, f"anonymous: {sorted(anonymous)}")
        with suite.case("buf curl calls by reflection"):
            url = f"http://{installation.address}/{CATALOG}/ListServices"
            done = curl(buf, installation, "shop", "-d", '{"query": "rebate"}', url)
            holds(done.returncode == 0 and REBATE in done.stdout, done.stderr or done.stdout)


def listed(buf, installation, name: str, what: str) -> list[str]:
    done = curl(buf, installation, name, what, f"http://{installation.address}")
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return [line.strip().lstrip("/") for line in done.stdout.splitlines() if line.strip()]


def curl(buf, installation, name: str, *words: str) -> subprocess.CompletedProcess:
    key = []
    if name:
        bearer = f"authorization: Bearer {installation.callers[name].key}"
        key = ["--header", bearer, "--reflect-header", bearer]
    command = [buf, "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--reflect", *key, *words]
    environment = os.environ | {"HOME": str(installation.folder)}
    return subprocess.run(command, capture_output=True, text=True, timeout=BUF_S_MAX, env=environment, cwd=installation.folder)
