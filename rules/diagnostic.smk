"""Accuracy of index tests, agreement of readers, groups compared, on the cohort floor."""

if "lesions" in DIAGNOSTIC:

    localrules:
        lesions,

    rule lesions:
        """The table of lesions, checked, with the patients they belong to."""
        input:
            table=DIAGNOSTIC["lesions"]["table"],
            clinical="results/{study}/cohort/clinical.csv",
            settings="results/{study}/settings/diagnostic.json",
            script="scripts/lesions.py",
            package=imports("scripts/lesions.py"),
        output:
            "results/{study}/cohort/lesions.csv",
        log:
            "logs/{study}/lesions.log",
        conda:
            "../envs/modelling.yaml"
        shell:
            "python {input.script} --settings {input.settings} --clinical {input.clinical} --output {output} > {log} 2>&1"


if DIAGNOSTIC.get("tests"):

    rule evaluate_tests:
        """Cut-points that are not declared are chosen in training and applied to the others as they are."""
        input:
            units=diagnostic.units(STUDY),
            assigned="results/{study}/cohort/assigned.csv",
            settings="results/{study}/settings/diagnostic.json",
            script="scripts/evaluate_tests.py",
            package=imports("scripts/evaluate_tests.py"),
        output:
            expand(
                "results/{{study}}/diagnostic/{table}.csv",
                table=diagnostic.TEST_TABLES,
            ),
        log:
            "logs/{study}/evaluate_tests.log",
        benchmark:
            "benchmarks/{study}/evaluate_tests.tsv"
        conda:
            "../envs/modelling.yaml"
        shell:
            "python {input.script} --settings {input.settings} --units {input.units} --assigned {input.assigned}"
            " --output results/{wildcards.study}/diagnostic > {log} 2>&1"


if DIAGNOSTIC.get("readers"):

    localrules:
        reader_agreement,

    rule reader_agreement:
        """How far readers agree on the same patients."""
        input:
            units=diagnostic.units(STUDY),
            assigned="results/{study}/cohort/assigned.csv",
            settings="results/{study}/settings/diagnostic.json",
            script="scripts/reader_agreement.py",
            package=imports("scripts/reader_agreement.py"),
        output:
            "results/{study}/diagnostic/agreement.csv",
        log:
            "logs/{study}/reader_agreement.log",
        conda:
            "../envs/modelling.yaml"
        shell:
            "python {input.script} --settings {input.settings} --units {input.units} --assigned {input.assigned}"
            " --output {output} > {log} 2>&1"


if "groups" in DIAGNOSTIC:

    rule compare_groups:
        """Groups of patients compared, unadjusted and weighted."""
        input:
            units="results/{study}/cohort/clinical.csv",
            endpoints="results/{study}/cohort/endpoints.csv",
            assigned="results/{study}/cohort/assigned.csv",
            settings="results/{study}/settings/diagnostic.json",
            script="scripts/compare_groups.py",
            package=imports("scripts/compare_groups.py"),
        output:
            expand(
                "results/{{study}}/diagnostic/{table}.csv",
                table=diagnostic.GROUP_TABLES,
            ),
        log:
            "logs/{study}/compare_groups.log",
        conda:
            "../envs/modelling.yaml"
        shell:
            "python {input.script} --settings {input.settings} --units {input.units} --assigned {input.assigned}"
            " --endpoints {input.endpoints} --output results/{wildcards.study}/diagnostic > {log} 2>&1"
