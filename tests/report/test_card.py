import pandas as pd

from coala_kedro.report.card import model_card


def test_the_card_says_in_which_orientation_the_model_was_trained():
    cost = {"stage": "lowres", "device": "CPU", "epochs_trained": 1, "attempts": 1, "hours": 0.1}
    dice = {"stage": "lowres", "structure": "crlm", "dice": 0.5}
    card = model_card(
        "student",
        orientation="LPS",
        cases=pd.DataFrame({"patient_id": ["a"], "source": ["manual"]}),
        protocol={"epochs": 1},
        software={"torch": "2"},
        cost=pd.DataFrame([cost]),
        cross_validation=pd.DataFrame([dice]),
    )
    assert "1 scans of 1 patients, turned to LPS" in card
    assert "give it files in LPS" in card
