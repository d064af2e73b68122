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
    check_tables_unchanged()
elif "reported" not in STUDY:

    include: "rules/demo.smk"  # a synthetic cohort with known truth
    include: "rules/download.smk"  # a public cohort: chosen, fetched, listed
    include: "rules/cohort.smk"  # 1 who is in train, test or external: `assign_cohorts`
    include: "rules/images.smk"  # 2 the rim and every other region: `cases`
    include: "rules/features.smk"  # 3 pyradiomics features, then the split files: `analysis_set`
    include: "rules/stability.smk"  # 4 agreement between readers
    include: "rules/signature.smk"  # 5 ranking and the LASSO-Cox signature
    include: "rules/models.smk"  # 6 Cox models and their cut-points, frozen as JSON
    include: "rules/validation.smk"  # 7 frozen models applied to every cohort
    include: "rules/binary.smk"  #   the same for a binary endpoint
    include: "rules/categories.smk"  #   ordinal and categorical endpoints: models and tests
    include: "rules/sensitivity.smk"  #   ablations, learning curve, two analyses side by side
    include: "rules/null.smk"  #   outcomes redrawn: does noise stay noise?


if not FROM_TABLES:

    include: "rules/diagnostic.smk"  #   accuracy of tests, readers, groups; printed numbers checked


include: "rules/figures.smk"  # 8 one rule, one file a figure in scripts/figures/
include: "rules/report.smk"  # 9 the HTML report


if not FROM_TABLES:

    rule all:
        default_target: True
        input:
            final_outputs(),


onsuccess:
    print(where_results_are())


onerror:
    print("\n".join(["The run failed. Its cause:", *causes(Path("logs", NAME), STARTED)]))
