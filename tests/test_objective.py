"""All losses of a step together, and critics that learn beside the network."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from make_faceset import TINY, make_faceset
from safetensors import safe_open
from safetensors.torch import load, save_file

from crossface.engine.errors import BadInputError, InputMissingError, UsageError
from crossface.training.augment import Batch
from crossface.training.checkpoint import CHECKPOINT_NAME
from crossface.training.events import StepDone
from crossface.training.face_points import POINTS, FacePoints
from crossface.training.losses import LossSettings, face_loss
from crossface.training.models import SharedAutoencoder, build
from crossface.training.objective import Objective, StepLosses
from crossface.training.patch_critic import PatchCritic, patch_losses
from crossface.training.perceptual import Perceptual
from crossface.training.presets import PRESETS
from crossface.training.train import train
from crossface.training.train_commands import train_command

pytestmark = pytest.mark.usefixtures("one_thread")

LIAE = replace(TINY, name="tiny-liae", family="liae")
ALL = LossSettings(
    background_style=0.1,
    face_style=0.1,
    code_moments=0.1,
    code_adversary=0.1,
    code_pairs=0.1,
    patch_critic=0.1,
    patch_critic_from=0.5,
    landmarks=0.1,
    cycle=0.1,
)


def _batch(seed: int, size_px: int = 32, count: int = 3) -> Batch:
    random = torch.Generator().manual_seed(seed)
    images = (torch.rand(count, channels, size_px, size_px, generator=random) for channels in (3, 3, 1, 1))
    places = 0.1 * torch.rand(count, len(POINTS), 2, generator=random)
    turn = torch.eye(2).expand(count, 2, 2) * 1.5
    points = FacePoints(
        places, torch.rand(count, 1, generator=random), turn, 0.1 * places[:1].expand_as(places)
    )
    return Batch(*images, points)


def _gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {
        name: torch.zeros_like(each) if each.grad is None else each.grad.clone()
        for name, each in module.named_parameters()
    }


def test_by_default_a_step_is_to_the_bit_what_it_was() -> None:
    torch.manual_seed(0)
    network = build(TINY)
    assert isinstance(network, SharedAutoencoder)
    a, b = _batch(1), _batch(2)
    losses = Objective(network)(a, b)
    losses.total.backward()
    made = _gradients(network)
    network.zero_grad()
    both = torch.cat((a.input, b.input)).contiguous(memory_format=torch.channels_last)
    code_a, code_b = network.encoder(both).split(3)
    loss_a, loss_b = face_loss(network.decoder_a(code_a), a), face_loss(network.decoder_b(code_b), b)
    (loss_a + loss_b).backward()
    assert (
        torch.equal(losses.a, loss_a) and torch.equal(losses.b, loss_b) and float(losses.more.detach()) == 0
    )
    wanted = _gradients(network)
    assert all(torch.equal(gradient, wanted[name]) for name, gradient in made.items())


@pytest.mark.parametrize("preset", [TINY, LIAE], ids=lambda preset: preset.family)
@pytest.mark.parametrize(
    "name",
    [
        "background_style",
        "face_style",
        "code_moments",
        "code_adversary",
        "code_pairs",
        "patch_critic",
        "cycle",
    ],
)
def test_each_loss_adds_its_share_and_moves_the_network(preset: Any, name: str) -> None:
    torch.manual_seed(0)
    network = build(preset)
    a, b = _batch(3), _batch(4)

    def more(weight: float) -> StepLosses:
        torch.manual_seed(1)
        settings = LossSettings(dssim=0, l1=0, mask=0, patch_critic_from=0, **{name: weight})
        return Objective(network, settings)(a, b)

    once, thrice = more(0.5), more(1.5)
    assert float(once.more.detach()) != 0
    assert float(thrice.more.detach()) == pytest.approx(3 * float(once.more.detach()), rel=1e-4)
    once.total.backward()
    reached = {name for name, gradient in _gradients(network).items() if float(gradient.abs().sum()) > 0}
    assert any("to_latent" in each for each in reached)
    # What is about the code leaves the decoders alone, and what is about A drawn as B leaves A's.
    drawing = {each.split(".")[0] for each in reached} & {"decoder_a", "decoder_b", "shared_decoder"}
    own = {"decoder_a", "decoder_b"} if preset.family == "df" else {"shared_decoder"}
    crossed = {"decoder_b"} if preset.family == "df" else own
    nothing: set[str] = set()
    expected = {"code": nothing, "cycle": nothing, "patch": own}.get(name.split("_")[0], crossed)
    assert drawing == expected
    # liae: only what is shared by both people is aligned.
    if name.startswith(("code", "cycle")) and preset.family == "liae":
        assert not any(each.startswith("inter_a.") for each in reached)


def test_the_patch_critic_waits_for_its_stretch_and_still_has_gradients() -> None:
    torch.manual_seed(0)
    settings = LossSettings(patch_critic=0.2, patch_critic_from=0.5)
    objective = Objective(build(TINY), settings)
    early = objective(_batch(5), _batch(6), 0.49)
    assert float(early.more.detach()) == 0
    early.total.backward()
    assert all(each.grad is not None for each in objective.critics.parameters())
    assert float(objective(_batch(5), _batch(6), 0.5).more.detach()) > 0


# The critic of patches.


def test_a_critic_that_can_only_guess_gives_a_quarter_to_both() -> None:
    critic = PatchCritic()
    with torch.no_grad():
        for head in (critic.patches, critic.pixels):
            head.weight.zero_()
            head.bias.fill_(0.5)  # type: ignore[union-attr]
    faces = _batch(7)
    losses = patch_losses(critic, faces.input, faces.target, faces.mask)
    assert [loss.item() for loss in losses] == pytest.approx([0.25, 0.25])
    patches, pixels = critic(faces.input)
    assert patches.shape == (3, 1, 4, 4) and pixels.shape == (3, 1, 32, 32)


def test_each_side_of_the_game_has_its_own_gradient() -> None:
    torch.manual_seed(0)
    critic, faces = PatchCritic(), _batch(8)
    drawn = faces.input.clone().requires_grad_()
    mask = torch.zeros(3, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1
    losses = patch_losses(critic, drawn, faces.target, mask)
    of_critic = torch.autograd.grad(
        losses.critic, [drawn, *critic.parameters()], allow_unused=True, retain_graph=True
    )
    assert of_critic[0] is None and all(gradient is not None for gradient in of_critic[1:])
    of_drawn = torch.autograd.grad(losses.drawn, [drawn, *critic.parameters()], allow_unused=True)
    assert of_drawn[0] is not None and all(gradient is None for gradient in of_drawn[1:])
    assert float((of_drawn[0] * (1 - mask)).abs().max()) == 0 < float(of_drawn[0].abs().max())


# LPIPS.


@pytest.fixture(scope="module")
def perceptual_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VGG-16 that has learnt nothing; its names are written out here, not taken from the product."""
    random = torch.Generator().manual_seed(0)
    tensors = {}
    convs = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256)}
    convs |= {14: (256, 256), 17: (256, 512)} | dict.fromkeys((19, 21, 24, 26, 28), (512, 512))
    for index, (a, b) in convs.items():
        weight = torch.randn(b, a, 3, 3, generator=random) * math.sqrt(2 / (9 * a))
        tensors[f"features.{index}.weight"] = weight
        tensors[f"features.{index}.bias"] = torch.randn(b, generator=random) * 0.1
    for block, channels in enumerate((64, 128, 256, 512, 512)):
        tensors[f"lin{block}.model.1.weight"] = torch.rand(1, channels, 1, 1, generator=random)
    tensors["classifier.0.weight"] = torch.zeros(2, 2)
    path = tmp_path_factory.mktemp("lpips") / "lpips.safetensors"
    save_file(tensors, path)
    return path


def _lpips(path: Path, x: torch.Tensor, y: torch.Tensor) -> float:
    """Layer by layer from the names in the file, in double precision."""
    with safe_open(path, framework="pt") as file:
        weights = {name: file.get_tensor(name).double() for name in file.keys()}  # noqa: SIM118
    shift, scale = (
        torch.tensor(each, dtype=torch.float64)[:, None, None]
        for each in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450))
    )
    x, y = ((2 * each.double() - 1 - shift) / scale for each in (x, y))
    total, block = 0.0, 0
    for index in range(30):
        if index in (4, 9, 16, 23):
            x, y = (torch.nn.functional.max_pool2d(each, 2) for each in (x, y))
        elif (name := f"features.{index}.weight") in weights:
            bias = weights[f"features.{index}.bias"]
            x, y = (
                torch.nn.functional.conv2d(each, weights[name], bias, padding=1).clamp_min(0)
                for each in (x, y)
            )
        if index in (3, 8, 15, 22, 29):
            unit_x, unit_y = (each / each.square().sum(1, keepdim=True).sqrt() for each in (x, y))
            difference = (unit_x - unit_y).square() * weights[f"lin{block}.model.1.weight"]
            total, block = total + float(difference.sum(1).mean()), block + 1
    return total


def test_lpips_is_the_published_formula(perceptual_weights: Path) -> None:
    metric = Perceptual(perceptual_weights)
    x, y = _batch(9, count=1).input, _batch(9, count=1).target
    everywhere = torch.ones(1, 1, 32, 32)
    drawn = x.clone().requires_grad_()
    loss = metric(drawn, y, everywhere)
    assert loss.item() == pytest.approx(_lpips(perceptual_weights, x, y), rel=1e-4)
    loss.backward()
    assert drawn.grad is not None and float(drawn.grad.abs().sum()) > 0
    assert not any(each.requires_grad for each in metric.parameters())
    assert float(metric(y, y, everywhere)) == 0 == float(metric(x, y, 0 * everywhere))
    with pytest.raises(ValueError, match="32 px"):
        metric(x[..., :16, :16], y[..., :16, :16], everywhere[..., :16, :16])


def test_weights_that_are_not_lpips_are_refused(perceptual_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match=r"none\.safetensors"):
        Perceptual(tmp_path / "none.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(perceptual_weights.read_bytes()[:5000])
    with pytest.raises(BadInputError, match=r"damaged\.safetensors"):
        Perceptual(damaged)
    for name, tensor, says in (
        ("features.0.weight", None, "has no features.0.weight"),
        ("features.0.weight", torch.zeros(64, 3, 5, 5), "has shape"),
        ("features.0.bias", torch.full((64,), math.nan), "not made of numbers"),
    ):
        tensors = {"features.0.weight": torch.zeros(64, 3, 3, 3), "features.0.bias": torch.zeros(64)}
        tensors |= {} if tensor is None else {name: tensor}
        if tensor is None:
            del tensors[name]
        save_file(tensors, tmp_path / "other.safetensors")
        with pytest.raises(BadInputError, match=says):
            Perceptual(tmp_path / "other.safetensors")


def test_lpips_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs weights"):
        Objective(build(TINY), LossSettings(perceptual=1))


# In a run.


@pytest.fixture(scope="module")
def facesets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("facesets")
    return make_faceset(folder / "a", 4, (200, 150, 120)), make_faceset(folder / "b", 4, (120, 90, 70))


def _train(facesets: tuple[Path, Path], model: Path, steps: int, **options: Any) -> list[StepDone]:
    fixed: dict[str, Any] = {"preset": LIAE, "batch": 3, "threads": 1, "device": "cpu", "losses": ALL}
    events = train(*facesets, model, steps=steps, **{**fixed, **options})
    return [event for event in events if isinstance(event, StepDone)]


def _tensors(model: Path) -> dict[str, torch.Tensor]:
    return load((model / CHECKPOINT_NAME).read_bytes())


def test_a_run_with_all_losses_goes_on_to_the_bit(facesets: tuple[Path, Path], tmp_path: Path) -> None:
    whole = _train(facesets, tmp_path / "whole", 6)
    assert len(whole) == 6 and all(math.isfinite(step.loss_a + step.loss_b) for step in whole)
    events = train(
        *facesets, tmp_path / "parts", steps=6, preset=LIAE, batch=3, threads=1, device="cpu", losses=ALL
    )
    while next(event for event in events if isinstance(event, StepDone)).step < 4:
        pass
    events.close()
    assert [step.step for step in _train(facesets, tmp_path / "parts", 6)] == [5, 6]
    expected, made = _tensors(tmp_path / "whole"), _tensors(tmp_path / "parts")
    assert expected.keys() == made.keys()
    assert {name.split(".")[1] for name in expected if name.startswith("critic.")} == {
        "code",
        "patch",
        "landmarks",
    }
    assert all(torch.equal(value, made[name]) for name, value in expected.items())


def test_a_model_may_go_on_with_other_losses(facesets: tuple[Path, Path], tmp_path: Path) -> None:
    plain = LossSettings()
    _train(facesets, tmp_path / "model", 2, losses=plain)
    assert not any(name.startswith("critic") for name in _tensors(tmp_path / "model"))
    assert [step.step for step in _train(facesets, tmp_path / "model", 4)] == [3, 4]
    with_critics = _tensors(tmp_path / "model")
    assert any(name.startswith("critic.code") for name in with_critics)
    assert [step.step for step in _train(facesets, tmp_path / "model", 5, losses=plain)] == [5]


def test_lpips_takes_part_in_a_run(
    facesets: tuple[Path, Path], perceptual_weights: Path, tmp_path: Path
) -> None:
    asked = LossSettings(perceptual=0.5)
    with pytest.raises(UsageError, match="--perceptual-weights"):
        _train(facesets, tmp_path / "model", 1, losses=asked)
    assert not (tmp_path / "model").exists()
    _train(facesets, tmp_path / "model", 1, losses=asked, perceptual_weights=perceptual_weights)
    assert not any("blocks" in name for name in _tensors(tmp_path / "model"))


def test_the_command_tells_what_presets_cost_and_which_losses_there_are(tmp_path: Path) -> None:
    told = CliRunner().invoke(train_command, ["--list-presets"])
    assert told.exit_code == 0
    lines = told.output.splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(PRESETS)
    classic = lines[0].split()
    assert float(classic[3]) == pytest.approx(75.9, abs=0.1) and classic[-1] == "GFLOP"
    folders = [str(make_faceset(tmp_path / name, 2, (9, 9, 9))) for name in "ab"]
    options = ["-o", str(tmp_path / "model"), "--steps", "1", "--loss", "beauty=1"]
    with pytest.raises(UsageError, match="there are dssim"):
        CliRunner().invoke(train_command, [*folders, *options], catch_exceptions=False)


_TRAINER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_objective import ALL, LIAE
from crossface.training.train import train
faces, model = (Path(each) for each in sys.argv[2:4]), Path(sys.argv[4])
list(train(*faces, model, steps=4, preset=LIAE, batch=2, threads=1, device="cpu", losses=ALL))
"""


def test_two_processes_train_with_all_losses(facesets: tuple[Path, Path], tmp_path: Path) -> None:
    """Each waits for a gradient of every parameter, also of a critic whose stretch has not come."""
    script, model = tmp_path / "trainer.py", tmp_path / "model"
    script.write_text(_TRAINER)
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*start, str(script), *map(str, (Path(__file__).parent, *facesets, model))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    trained = _tensors(model)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in trained.values())
    assert float(trained["critic_adam_square.patch.enter.weight"].sum()) > 0
