import numpy as np
import pandas as pd
import pytest

from coala_kedro.statistics.summary import summarise

VOXEL_ML = 0.002
N_RESAMPLES = 30


@pytest.fixture(scope="session")
def scan_metrics():
    """Two models on two cohorts; most patients have two scans; one external scan is empty."""
    rng = np.random.default_rng(3)
    rows = []
    for cohort, n_patients, mean_voxels in (("internal", 6, 9.0), ("external", 8, 7.0)):
        for patient in range(n_patients):
            for timepoint in ("pre", "post")[: 1 + patient % 3]:
                reference = round(float(np.exp(rng.normal(mean_voxels, 1))))
                if cohort == "external" and patient == 0:
                    reference = 0
                for model, share in (("teacher", 0.8), ("student", 0.9)):
                    predicted = round(reference * share * rng.uniform(0.95, 1.05))
                    both = round(predicted * rng.uniform(0.85, 0.95))
                    total = reference + predicted
                    surface = np.linspace(0.6, 0.9, 3) if total else np.full(3, np.nan)
                    rows.append(
                        {
                            "model": model,
                            "cohort": cohort,
                            "scan_id": f"{cohort}_{patient}_{timepoint}",
                            "patient_id": f"{cohort}_{patient}",
                            "timepoint": timepoint,
                            "dice": 2 * both / total if total else np.nan,
                            **{f"nsd_{n + 1}mm": surface[n] * share for n in range(3)},
                            "hd95_mm": 5 * share * patient if total else np.nan,
                            "assd_mm": share * patient if total else np.nan,
                            "reference_ml": reference * VOXEL_ML,
                            "predicted_ml": predicted * VOXEL_ML,
                            "volume_error_ml": (predicted - reference) * VOXEL_ML,
                            "reference_voxels": reference,
                            "predicted_voxels": predicted,
                            "intersection_voxels": both,
                            "n_lesions": 2 if reference else 0,
                            "n_hits": 1 if reference else 0,
                            "n_misses": 1 if reference else 0,
                            "n_false_positives": patient % 2,
                        }
                    )
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def summary(scan_metrics):
    return summarise(scan_metrics, N_RESAMPLES, seed=1)
