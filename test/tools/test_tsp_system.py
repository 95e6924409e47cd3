"""tsp-system: what it says of systems, and how it refuses what is none."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from tspc.tools.tsp_system import main


def run(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    with pytest.raises(SystemExit) as e:
        main(args)
    if e.value.code:
        pytest.fail(str(e.value.code))
    return capsys.readouterr().out


def refusal(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    with pytest.raises(SystemExit) as e:
        main(args)
    assert e.value.code == 1
    return capsys.readouterr().err.rstrip()


def test_the_table_of_33_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--chips", "264").splitlines() == [
        "wiring      default",
        "chips       264: nodes 33, racks 4, spare nodes of each 1",
        "SRAM        56.72 GiB",
        "cables      1452; a chip uses 11 to 11 of 16 links",
        "bisection   272 cables between two halves of the nodes, 3264.0 GB/s each way",
        "hops        3 at most, 2.686 on average; a hop is a cable",
        "  1          2904 pairs    4.2%",
        "  2         15972 pairs   23.0%",
        "  3         50556 pairs   72.8%",
        "latency     647 cycles a hop from memory to memory (0.719 us), 2.16 us the farthest; "
        "on the wires alone 0.72 us",
    ]


def test_json_of_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "system.toml"
    path.write_text('[chip]\nlatency_send = 50\n[system]\nchips = 6\nwiring = "torus 2 x 3"\n')
    about = json.loads(run(capsys, str(path), "--json"))
    assert about["wiring"] == "torus 2 x 3"
    assert about["hops"] == [6, 18, 12]
    assert about["hop_cycles"] == 50 + 217 + 215
    assert about["bisection"] == {"of": "chips", "cables": 3}


def test_options_replace_the_fields_of_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "system.toml"
    path.write_text('[system]\nchips = 6\nwiring = "torus 2 x 3"\n')
    about = json.loads(run(capsys, str(path), "--json", "--chips", "5", "--wiring", "ring"))
    assert (about["wiring"], about["hops"], about["diameter"]) == ("ring", [5, 10, 10], 2)


@pytest.mark.parametrize(("chips", "groups", "lines"), [(3, 3, 3), (24, 3, 3), (264, 33, 528), (360, 5, 10)])
def test_a_picture_has_all_groups_and_lines(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, chips: int, groups: int, lines: int
) -> None:
    path = tmp_path / "system.svg"
    run(capsys, "--chips", str(chips), "-o", str(path))
    picture = ET.parse(path).getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert len(picture.findall(f"{space}circle")) == groups
    assert len(picture.findall(f"{space}line")) == lines


def test_what_is_no_system(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "system.toml"
    path.write_text('[system]\nchips = 3\nwiring = """\n0.0 - 1.0\n1.0 - 2.0\n"""\n')
    assert refusal(capsys, str(path)) == f"error: {path}: line 5: port 1.0 has two cables"
    assert refusal(capsys, "--chips", "3", "--wiring", "0.0 - 1.0") == (
        "error: no way leads from chip 0 to chip 2: the wiring is 2 parts; add cables"
    )
    assert "the wiring `star` is unknown; there are `default`" in refusal(capsys, "--wiring", "star")
    assert "no folder" in refusal(capsys, "-o", str(tmp_path / "none" / "system.svg"))
