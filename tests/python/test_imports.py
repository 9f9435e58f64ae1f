"""Two compiled libraries in one process must not disturb each other, whichever comes first."""

from __future__ import annotations

import pytest

# What each does so that its library is really used.
USES = {
    "citystream": "import citystream, itertools\n"
    "assert next(citystream.City(vehicles=60, duration='1h').rows('weather'))['id']\n"
    "import citystream as cs\n"
    "try: cs.Publisher('127.0.0.1:1', timeout='300ms')\n"
    "except cs.KafkaConnectionError: pass\n",
    "pyarrow": "import pyarrow\nassert pyarrow.compute.sum(pyarrow.array([1, 2])).as_py() == 3\n",
    "confluent_kafka": "import confluent_kafka\n"
    "p = confluent_kafka.Producer({'bootstrap.servers': '127.0.0.1:1', 'log_level': 0, 'security.protocol': 'ssl'})\n"
    "assert p.flush(0.05) == 0\n",
    "duckdb": "import duckdb\nassert duckdb.sql('select 42').fetchall() == [(42,)]\n",
    "polars": "import polars\nassert polars.DataFrame({'a': [1, 2]})['a'].sum() == 3\n",
    "deltalake": "import deltalake\nassert not deltalake.DeltaTable.is_deltatable('nowhere')\n",
    "ssl": "import ssl\nassert ssl.create_default_context()\n",
}
OTHERS = [name for name in USES if name != "citystream"]


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("first", ["citystream", "other"])
def test_imports_in_both_orders(script, other, first):
    order = ["citystream", other] if first == "citystream" else [other, "citystream"]
    text = "import pyarrow.compute\n" if other == "pyarrow" and first != "citystream" else ""
    done = script(
        text
        + "".join(USES[name] for name in order).replace("import pyarrow\n", "import pyarrow, pyarrow.compute\n")
        + "print('fine')\n"
    )
    assert done.status == 0, done.err
    assert done.out == "fine\n"


def test_import_is_light(script):
    done = script(
        "import sys, citystream\n"
        "heavy = {'duckdb', 'typer', 'rich', 'pyarrow', 'pandas', 'numpy', 'citystream._core'} & set(sys.modules)\n"
        "print(sorted(heavy))\n"
    )
    assert done.out == "[]\n"


def test_every_public_name_is_there():
    import citystream as cs

    assert len(cs.__all__) > 10
    for name in cs.__all__:
        assert getattr(cs, name) is not None
    assert set(cs.__all__) <= set(dir(cs))
    with pytest.raises(AttributeError, match="no attribute 'Cty'"):
        cs.Cty  # noqa: B018


def test_the_module_exports_only_its_entry():
    # Two OpenSSLs or two zstds in one process are harmless only while neither shows its symbols.
    import re
    import shutil
    import subprocess

    from citystream import _core

    if shutil.which("nm") is None:
        pytest.fail("nm is missing (Debian package binutils)")
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", _core.__file__], capture_output=True, text=True, check=True
    ).stdout
    names = re.findall(r"^\S+ [A-Z] (\S+)$", listed, flags=re.MULTILINE)
    # crc-fast, which aws-sdk-s3 brings, exports a C interface under its own prefix; no other library has those names.
    assert [name for name in names if not name.startswith("crc_fast_")] == ["PyInit__core"]
