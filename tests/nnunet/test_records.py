import json

from coala_kedro.anatomy import CRLM
from coala_kedro.nnunet.records import AttemptRecord


def test_an_epoch_is_recorded_from_nnunets_log_and_then_told(tmp_path):
    from nnunetv2.training.logging.nnunet_logger import MetaLogger

    from coala_kedro.nnunet.trainer import EpochLogger

    def recorded():
        return json.loads((tmp_path / "training.json").read_text())["attempts"][-1]["epochs"]

    told, log = [], MetaLogger(str(tmp_path), resume=False)
    tell = lambda epoch, figures: told.append(({"epoch": epoch, **figures}, recorded()))  # noqa: E731
    with AttemptRecord(tmp_path, "CPU", tell)() as record:
        log.loggers.append(EpochLogger(log, lambda: {"cpu_percent": 90.0}, record.report))
        for epoch in range(2):
            log.log("epoch_start_timestamps", 1e9, epoch)
            log.log("lrs", 0.01, epoch)
            log.log("train_losses", -0.1 * epoch, epoch)
            log.log("mean_fg_dice", 0.5, epoch)
            log.log("dice_per_class_or_region", [k / 100 for k in range(1, 14)], epoch)
            log.log("val_losses", 0.2, epoch)
            assert len(told) == epoch, "nothing is told before the epoch's end"
            log.log("epoch_end_timestamps", 1e9 + 3, epoch)
    expected = [
        {
            "epoch": epoch,
            "train_loss": -0.1 * epoch,
            "validation_loss": 0.2,
            "learning_rate": 0.01,
            "pseudo_dice_mean": 0.5,
            "pseudo_dice_crlm": CRLM / 100,
            "epoch_seconds": 3.0,
            "cpu_percent": 90.0,
        }
        for epoch in range(2)
    ]
    assert told == [(expected[0], expected[:1]), (expected[1], expected)]
    assert recorded() == expected
