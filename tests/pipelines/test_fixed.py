"""Arguments that the pipeline gives to a node's function."""

import inspect
import pickle

import cloudpickle
import pytest
from kedro.framework.project import pipelines
from kedro.pipeline import Node
from kedro_viz.models.flowchart.model_utils import _extract_wrapped_func

from coala_kedro.pipelines import fixed
from coala_kedro.pipelines.model_training.nodes import train_cascade
from coala_kedro.pipelines.preprocessing.intake import accept_scans


def listed(first, cohort, last, *others, **named):
    return first, cohort, last, others, named


def test_the_others_are_given_in_their_order():
    function = fixed(listed, cohort="internal")
    assert function(1, 2, 3, a=4) == (1, "internal", 2, (3,), {"a": 4})
    assert function(last=2, first=1) == (1, "internal", 2, (), {})
    with pytest.raises(TypeError, match="missing a required argument: 'last'"):
        function(1)


def test_a_node_whose_inputs_do_not_fit_is_refused():
    with pytest.raises(TypeError, match="Inputs of 'accept_scans' function expected"):
        Node(fixed(accept_scans, cohort="internal"), ["a", "b"], "c", name="accept_scans")


def test_kedro_viz_shows_the_code():
    function = fixed(train_cascade, fold=0, model_name="teacher")
    assert inspect.isfunction(function)
    assert _extract_wrapped_func(function) is train_cascade


def test_a_worker_of_a_cluster_gets_the_node(project):
    for node in pipelines["__default__"].nodes:
        assert pickle.loads(cloudpickle.dumps(node)).name == node.name
