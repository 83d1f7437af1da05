"""How the study was made, in words ready for a paper, with every setting beside them."""

from __future__ import annotations

from markupsafe import Markup

from coala_kedro.report.material import Material
from coala_kedro.report.page import Fold, References, Section, environment
from coala_kedro.report.tables import whole_table

REFERENCES = {
    "coala": "Bereska JI, Zeeuw M, Wagenaar L, et al. Development and external evaluation of a "
    "self-learning auto-segmentation model for Colorectal Cancer Liver Metastases Assessment "
    "(COALA). Insights Imaging 2024;15:279. doi:10.1186/s13244-024-01820-7",
    "nnunet": "Isensee F, Jaeger PF, Kohl SAA, Petersen J, Maier-Hein KH. nnU-Net: a "
    "self-configuring method for deep learning-based biomedical image segmentation. Nat Methods "
    "2021;18:203-211. doi:10.1038/s41592-020-01008-z",
    "totalsegmentator": "Wasserthal J, Breit HC, Meyer MT, et al. TotalSegmentator: robust "
    "segmentation of 104 anatomic structures in CT images. Radiol Artif Intell 2023;5(5):e230024. "
    "doi:10.1148/ryai.230024",
    "staple": "Warfield SK, Zou KH, Wells WM. Simultaneous truth and performance level "
    "estimation (STAPLE). IEEE Trans Med Imaging 2004;23(7):903-921. doi:10.1109/TMI.2004.828354",
    "metrics": "Maier-Hein L, Reinke A, Godau P, et al. Metrics reloaded: recommendations for "
    "image analysis validation. Nat Methods 2024;21:195-212. doi:10.1038/s41592-023-02151-z",
    "surface": "Nikolov S, Blackwell S, Zverovitch A, et al. Clinically applicable segmentation of "
    "head and neck anatomy for radiotherapy. J Med Internet Res 2021;23(7):e26151. "
    "doi:10.2196/26151",
    "icc": "McGraw KO, Wong SP. Forming inferences about some intraclass correlation coefficients. "
    "Psychol Methods 1996;1(1):30-46. doi:10.1037/1082-989X.1.1.30",
    "bland": "Bland JM, Altman DG. Measuring agreement in method comparison studies. Stat Methods "
    "Med Res 1999;8(2):135-160. doi:10.1177/096228029900800204",
    "welch": "Welch BL. The generalization of Student's problem when several different population "
    "variances are involved. Biometrika 1947;34:28-35. doi:10.1093/biomet/34.1-2.28",
    "bootstrap": "Efron B, Tibshirani RJ. An introduction to the bootstrap. Chapman & Hall 1993",
    "claim": "Tejani AS, Klontzas ME, Gatti AA, et al. Checklist for Artificial Intelligence in "
    "Medical Imaging (CLAIM): 2024 update. Radiol Artif Intell 2024;6(4):e240300. "
    "doi:10.1148/ryai.240300",
}
"""What `methods.html.j2` cites."""


def cite(*names: str) -> Markup:
    """Numbers of references, linked to the list."""
    numbers = [[*REFERENCES].index(name) + 1 for name in names]
    links = (Markup('<a href="#ref-{0}">{0}</a>').format(number) for number in numbers)
    return Markup("<sup>{}</sup>").format(Markup(",").join(links))


def methods(material: Material) -> Section:
    """Methods from the settings of this run."""
    return Section(
        "Methods",
        [
            "Written from the settings of this run; ready to be cut down for a paper.",
            *_paragraphs(material),
            References([_linked(text) for text in REFERENCES.values()]),
            Fold(
                "Every setting, seed and version",
                [
                    whole_table(
                        material["settings"],
                        {"setting": "setting", "value": "value"},
                        "Parameters by name, and versions of the installation that wrote this "
                        "report. Defaults and their sources are in conf/base.",
                    )
                ],
            ),
        ],
    )


def _paragraphs(material: Material) -> list[Markup]:
    template = environment().get_template("methods.html.j2")
    text = template.render(of=material.setting, cite=cite)
    return [Markup(paragraph) for paragraph in text.strip().split("\n\n")]


def _linked(text: str) -> Markup:
    words, _, doi = text.partition(" doi:")
    if not doi:
        return Markup("{}").format(words)
    link = 'doi:<a href="https://doi.org/{0}" rel="noreferrer">{0}</a>'
    return Markup("{1} " + link).format(doi, words)
