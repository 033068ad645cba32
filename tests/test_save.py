"""Model files: what is damaged, edited, newer or foreign is refused clearly, and nothing is allocated for a lie."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save as to_bytes

from gatecast.edge import container
from gatecast.edge.save import KIND, load, save
from gatecast.errors import DataError, ForecastError, ModelFileError
from models import NETWORKS, network, prices


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = NETWORKS["linear"]().fit(prices())
    return model, save(model, tmp_path_factory.mktemp("models") / "m.gatecast")


def rewritten(path, tmp_path, change):
    """A copy whose facts or tensors were changed by somebody who also mended the checksum."""
    tensors, facts = container.read(path, KIND)
    change(tensors, facts)
    return container.write(tmp_path / "changed.gatecast", KIND, tensors, facts)


def test_every_cut_of_the_file_is_refused(saved, tmp_path):
    whole = saved[1].read_bytes()
    for keep in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
        part = tmp_path / "part.gatecast"
        part.write_bytes(whole[:keep])
        with pytest.raises(ModelFileError, match="not a whole Gatecast model file"):
            load(part)


def test_a_changed_byte_anywhere_in_facts_or_tensors_is_noticed(saved, tmp_path):
    whole = saved[1].read_bytes()
    header = int.from_bytes(whole[:8], "little")
    at = [whole.index(b"relative"), *np.linspace(8 + header, len(whole) - 1, 9).astype(int)]
    for position in at:
        bad = bytearray(whole)
        bad[position] ^= 1
        path = tmp_path / "bad.gatecast"
        path.write_bytes(bytes(bad))
        with pytest.raises(ModelFileError, match="changed after it was written"):
            load(path)


def test_a_newer_format_asks_for_a_newer_release(saved, tmp_path):
    with safe_open(saved[1], framework="numpy") as file:
        mark = json.loads(file.metadata()[container.MARK])
    facts = {**json.loads(mark["facts"]), "format": 2, "version": "9.9"}
    path = tmp_path / "newer.gatecast"
    newer = {container.MARK: json.dumps({**mark, "facts": json.dumps(facts)})}
    path.write_bytes(to_bytes(container.read(saved[1], KIND)[0], newer))
    with pytest.raises(ModelFileError, match=r"has format 2, written by Gatecast 9.9; this release reads format 1"):
        load(path)


def test_equal_models_are_equal_files(saved, tmp_path):
    model, path = saved
    for _ in range(20):
        assert save(model, tmp_path / "again.gatecast").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("mark", ["[]", '{"facts": 3}', '{"facts": "[]"}', "not json"])
def test_a_mark_that_is_not_ours_is_refused(mark, tmp_path):
    path = tmp_path / "odd.gatecast"
    path.write_bytes(to_bytes({"a": np.zeros(3)}, {container.MARK: mark}))
    with pytest.raises(ModelFileError, match=r"not a (whole )?Gatecast model file"):
        load(path)


def test_other_files_are_refused(saved, tmp_path):
    with pytest.raises(ModelFileError, match="no file"):
        load(tmp_path / "absent.gatecast")
    plain = tmp_path / "plain.safetensors"
    plain.write_bytes(to_bytes({"a": np.zeros(3)}))
    with pytest.raises(ModelFileError, match="is not a Gatecast model file"):
        load(plain)
    other = container.write(tmp_path / "c.checkpoint", "checkpoint", {"a": np.zeros(3)}, {})
    with pytest.raises(ModelFileError, match="is not a Gatecast model file"):
        load(other)


def huge(tensors, facts):
    facts["plan"]["stacks"] = ["lstm:4096x64"]


def crowd(tensors, facts):
    facts["plan"]["members"] = 10**9


def missing(tensors, facts):
    del facts["calendar"]


def surplus(tensors, facts):
    facts["plan"]["command"] = "rm"


def wrong(tensors, facts):
    facts["plan"]["recipe"]["transform"] = "os.system"


@pytest.mark.parametrize("change", [huge, crowd, missing, surplus, wrong])
def test_facts_that_do_not_fit_are_refused_without_building_anything(saved, tmp_path, change):
    path = rewritten(saved[1], tmp_path, change)
    with pytest.raises(ModelFileError, match="does not describe a model"):
        load(path)


def test_saving_keeps_only_the_history_that_a_forecast_needs(saved):
    model, path = saved
    assert load(path).history_.rows == model.plan_.lookback + 1
    assert path.stat().st_size < 20_000


def test_a_failed_save_leaves_the_old_file(saved, tmp_path, monkeypatch):
    model, _ = saved
    path = tmp_path / "m.gatecast"
    path.write_bytes(b"the old one")
    monkeypatch.setattr("gatecast.show.files.os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(Exception, match="disk full"):
        save(model, path)
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_loaded_model_goes_on_with_newer_data(saved):
    model, path = saved
    newer = prices(190)
    again = load(path)
    np.testing.assert_array_equal(again.one_step(newer).mean, model.one_step(newer).mean)
    np.testing.assert_array_equal(again.predict(5, newer).mean, model.predict(5, newer).mean)
    tail = newer.after(newer.times[149])
    np.testing.assert_array_equal(again.one_step(tail).mean, model.one_step(newer).mean)
    with pytest.raises(DataError, match="steps after the model's history"):
        again.one_step(newer.after(newer.times[175]))
    with pytest.raises(ForecastError, match="no row after the training span"):
        again.one_step(prices(150))


def test_an_unfitted_model_says_so():
    with pytest.raises(ForecastError, match="has not learned anything yet"):
        network("gru:3").predict(3)


def test_a_direct_head_gives_at_most_its_own_steps():
    model = NETWORKS["direct"]().fit(prices())
    assert model.predict().mode == "direct"
    assert len(model.predict(2)) == 2
    with pytest.raises(ForecastError, match="fitted to forecast 3 steps at once, 30 asked for"):
        model.predict(30)
