"""Errors of the command line: one line, one hint, no traceback, the documented exit code."""

import numpy as np
import pytest

from gatecast.edge.cli import main

NETWORK = ["--lookback", "8", "--epochs", "1"]


@pytest.fixture
def prices(tmp_path):
    rng = np.random.default_rng(3)
    days = np.busday_offset("2020-01-01", np.arange(80), roll="forward")
    lines = [f"{day},{value!r},1.0" for day, value in zip(days, map(float, 50 + rng.normal(0, 1, 80)), strict=True)]
    path = tmp_path / "prices.csv"
    path.write_text("\n".join(["Date,High,Low", *lines]) + "\n")
    return str(path)


def failed(capsys, *arguments):
    """Run, and return the exit code, the error line and the hint line; there must be nothing else on stderr."""
    code = main([str(each) for each in arguments])
    lines = capsys.readouterr().err.splitlines()
    told = [line for line in lines if not line.startswith(("error: ", "hint: "))]
    assert all(": train" in line for line in told), lines
    error, *hint = [line for line in lines if line not in told]
    assert error.startswith("error: ") and len(hint) <= 1
    return code, error.removeprefix("error: "), hint[0].removeprefix("hint: ") if hint else ""


@pytest.mark.parametrize(
    ("options", "error", "hint"),
    [
        (["--taget", "High"], "no such option: --taget", "did you mean --target"),
        (["--seeds", "many"], "invalid value for '--seeds'", "gatecast run --help"),
        (["--seeds", "0"], "invalid value for '--seeds'", "gatecast run --help"),
        (["--epochs", "0"], "invalid value for '--epochs'", "gatecast run --help"),
        (["--model", "lstn:50"], "unknown cell 'lstn'", "did you mean 'lstm'"),
        (["--model", "lstm:50y"], "cannot read 'lstm:50y'", "'-'"),
        (["--preset", "notebok"], "unknown preset 'notebok'", "did you mean 'notebook'"),
        (["--transform", "minmx"], "unknown transform 'minmx'", "did you mean 'minmax'"),
        (["--loss", "mes"], "unknown loss 'mes'", "did you mean 'mse'"),
        (["--optimiser", "adamm"], "unknown optimiser 'adamm'", "did you mean 'adam'"),
        (["--initial", "kears"], "unknown initialisation 'kears'", "did you mean 'keras'"),
        (["--fill", "lst"], "'lst'", "did you mean 'last'"),
        (["--decimal", "x"], "decimal sign 'x'", ""),
        (["--encoding", "utf-9"], "unknown encoding 'utf-9'", "cp1252"),
        (["--dropout", "1.5"], "dropout=1.5", ""),
        (["--learning-rate", "-1"], "learning_rate=-1.0", ""),
        (["--device", "cdua"], "unknown device 'cdua'", "did you mean 'cuda'?"),
        (["--model", "gru:4", "--model", "gru:4"], "two models are called gru:4", "leave one out"),
        (["--resume"], "--resume needs", "-o DIR"),
    ],
)
def test_a_wrong_option_is_exit_2(prices, capsys, options, error, hint):
    code, said, advice = failed(capsys, "run", prices, "--target", "High", *options)
    assert code == 2
    assert error in said and hint in advice, (said, advice)


def test_an_unknown_command_names_the_nearest(capsys):
    code, error, _ = failed(capsys, "rnu")
    assert (code, "run" in error) == (2, True)


def test_fit_needs_an_output_file(prices, capsys):
    code, error, hint = failed(capsys, "fit", prices)
    assert code == 2
    assert "--output" in error and "gatecast fit --help" in hint


@pytest.mark.parametrize(
    ("options", "error", "hint"),
    [
        (["--target", "Hihg"], "'Hihg'", "did you mean 'High'"),
        (["--target", "High", "--test-from", "1999-01-01"], "1999-01-01", "date inside the data"),
        (["--target", "High", "--test-from", "soon"], "'soon' is not a time", ""),
        (["--target", "High", "--inputs", "Lo", "--model", "gru:4"], "'Lo'", "did you mean 'Low'"),
        (["--target", "High", "--model", "gru:4", "--lookback", "70"], "needs", "shorter lookback"),
        (["--target", "High", "--series", "A"], "no series 'A'", ""),
    ],
)
def test_data_that_cannot_be_used_are_exit_3(prices, capsys, options, error, hint):
    code, said, advice = failed(capsys, "run", prices, "-q", *options)
    assert code == 3
    assert error in said and hint in advice, (said, advice)


@pytest.mark.parametrize("name", ["nowhere.csv", "air_pasengers"])
def test_a_file_that_is_not_there(name, capsys):
    code, error, hint = failed(capsys, "run", name)
    assert code == 3
    assert name in error
    assert "air_passengers" in hint or name == "nowhere.csv"


def test_an_unknown_data_set(capsys):
    code, error, hint = failed(capsys, "datasets", "imb")
    assert (code, "imb" in error, "'ibm'" in hint) == (2, True, True)


def test_options_of_a_network_are_refused_for_many_series(tmp_path, capsys):
    file = tmp_path / "two.csv"
    file.write_text("unique_id,ds,y\n" + "".join(f"{name},{i},{i % 5}\n" for name in "ab" for i in range(30)))
    for option in (["--model", "gru:4"], ["--learning-rate", "0.1"]):
        code, error, hint = failed(capsys, "fit", file, *option, "-o", tmp_path / "m.gatecast")
        assert code == 2
        assert option[0] in error and "--series" in hint
    assert not (tmp_path / "m.gatecast").exists()


def test_a_loss_that_explodes_is_exit_4(prices, tmp_path, capsys):
    options = ["--model", "gru:4", "--optimiser", "sgd", "--learning-rate", "1e30", "--transform", "none", *NETWORK]
    code, error, hint = failed(capsys, "fit", prices, "--target", "High", *options, "-o", tmp_path / "m.gatecast")
    assert code == 4
    assert "loss of gru:4 became" in error and "smaller learning rate" in hint
    assert not (tmp_path / "m.gatecast").exists()


def test_a_forecast_that_cannot_be_made_is_exit_4(prices, tmp_path, capsys):
    from gatecast import Forecaster, Recipe, Training, load, read, save

    recipe = Recipe(predicts="target", training=Training(epochs=1))
    model = Forecaster("gru:3", lookback=8, inputs=("Low",), recipe=recipe).fit(read(prices, target="High"))
    save(model, tmp_path / "m.gatecast")
    code, error, _ = failed(capsys, "predict", tmp_path / "m.gatecast", "--h", "2")
    assert (code, "no free run" in error) == (4, True)
    assert load(tmp_path / "m.gatecast").name == "gru:3"


def test_a_damaged_model_file_is_exit_5(prices, tmp_path, capsys):
    file = tmp_path / "m.gatecast"
    assert main(["fit", prices, "--target", "High", "--model", "gru:3", *NETWORK, "-q", "-o", str(file)]) == 0
    file.write_bytes(file.read_bytes()[:-7])
    assert failed(capsys, "predict", file)[0] == 5
    assert failed(capsys, "predict", tmp_path / "none.gatecast")[0] == 5
    assert failed(capsys, "predict", prices)[0] == 5


def test_output_that_cannot_be_written_is_exit_1_before_any_training(prices, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        code, error, hint = failed(capsys, "run", prices, "--target", "High", "-o", folder)
        assert (code, str(folder) in error, bool(hint)) == (1, True, True)
    model = tmp_path / "missing" / "m.gatecast"
    options = ["--target", "High", "--model", "gru:3", *NETWORK, "-q"]
    assert failed(capsys, "fit", prices, *options, "-o", model)[0] == 1


def test_an_error_shows_control_characters_instead_of_sending_them(capsys):
    code, error, _ = failed(capsys, "run", "evil\x1b[2J.csv")
    assert code == 3
    assert "\\x1b[2J" in error
