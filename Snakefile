"""A reproducible radiomics study of recurrence: from images, masks and a clinical table to a validated model.

snakemake                                        the study of config.yaml (the demo)
snakemake --config study=studies/crlm.yaml       another study
snakemake check                                  check the study file and the tables, show the plan, run nothing
snakemake figures --config from=tables           the figures again from stored tables
"""

from snakemake.utils import min_version

min_version("9.19")


include: "rules/common.smk"


# The floors; data only goes down.
if FROM_TABLES:
    if problems := outputs.changed_tables(STUDY):
        sys.exit("\n".join(f"ERROR: {problem}" for problem in problems))
elif "reported" not in STUDY:

    include: "rules/targets.smk"  # the plan, tables of all analyses, checksums
    include: "rules/demo.smk"  # a synthetic cohort with known truth
    include: "rules/download.smk"  # a public cohort: chosen, fetched, listed
    include: "rules/cohort.smk"  # 1 who is in train, test or external, and the rows of every analysis
    include: "rules/images.smk"  # 2 the rim and every other region
    include: "rules/features.smk"  # 3 pyradiomics features of every region
    include: "rules/fit.smk"  # 4-6 stable features, signature, models, cut-points: frozen as JSON
    include: "rules/validation.smk"  # 7 frozen models applied to every cohort
    include: "rules/resampling.smk"  #   the whole fit repeated: resamples, folds, fewer patients, noise


if not FROM_TABLES:

    include: "rules/consistency.smk"  #   printed numbers checked by arithmetic
    include: "rules/diagnostic.smk"  #   accuracy of tests, agreement of readers, groups


include: "rules/figures.smk"  # 8 one rule, one file a figure in scripts/figures/
include: "rules/report.smk"  # 9 report, calculator, model card, other pages


if not FROM_TABLES:

    rule all:
        """Everything that the study file asks for."""
        default_target: True
        input:
            outputs.everything(STUDY),


onsuccess:
    print(outputs.where_results_are(STUDY))


onerror:
    print("\n".join(["The run failed. Its cause:", *causes(Path("logs", NAME), STARTED)]))
