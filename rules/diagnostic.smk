"""Diagnostic accuracy, readers and groups on the cohort floor; printed numbers checked by arithmetic."""


localrules:
    diagnostic_report,


if ANALYSES:

    localrules:
        table_consistency,

    rule table_consistency:
        """The study's own tables checked by arithmetic before anybody reads them."""
        input:
            performance="results/{study}/validation/performance.csv",
            coefficients="results/{study}/models/coefficients.csv",
            comparisons="results/{study}/validation/comparisons.csv",
            rates=[f"{RESULTS}/survival/rates.csv"] if SURVIVAL else [],
            table1=[f"{RESULTS}/cohort/{analysis}/table1.csv" for analysis in ANALYSES],
            script="scripts/table_consistency.py",
            package=imports("scripts/table_consistency.py"),
        output:
            "results/{study}/validation/consistency.csv",
        log:
            "logs/{study}/table_consistency.log",
        conda:
            "../envs/modelling.yaml"
        shell:
            "python {input.script} --performance {input.performance} --coefficients {input.coefficients}"
            " --comparisons {input.comparisons} --rates {input.rates} --table1 {input.table1} --output {output}"
            " > {log} 2>&1"


if "reported" in STUDY:

    localrules:
        consistency,

    rule consistency:
        """What a paper prints, checked and reproduced as far as it can be."""
        input:
            statements="results/{study}/study.resolved.yaml",
            schemas=["schemas/reported.schema.yaml", "schemas/study.schema.yaml"],
            script="scripts/consistency.py",
            package=imports("scripts/consistency.py"),
        output:
            "results/{study}/diagnostic/consistency.csv",
        log:
            "logs/{study}/consistency.log",
        conda:
            "../envs/modelling.yaml"
        shell:
            "python {input.script} --input {input.statements} --output {output} > {log} 2>&1"


if IMAGES and len(READERS) > 1:

    rule mask_agreement:
        """Overlap and surface distances of the readers' tumour masks, from the cached label maps."""
        input:
            cases=expand("results/{{study}}/images/batch-{batch}.csv", batch=BATCHES),
            script="scripts/mask_agreement.py",
            package=imports("scripts/mask_agreement.py"),
        output:
            masks="results/{study}/diagnostic/masks.csv",
            summary="results/{study}/diagnostic/mask_summary.csv",
        log:
            "logs/{study}/mask_agreement.log",
        benchmark:
            "benchmarks/{study}/mask_agreement.tsv"
        conda:
            "../envs/imaging.yaml"
        params:
            cache=STUDY["cache_dir"],
        shell:
            "python {input.script} --cases {input.cases} --cache {params.cache:q} --output {output.masks}"
            " --summary {output.summary} > {log} 2>&1"


if "lesions" in DIAGNOSTIC:

    localrules:
        lesions,

    rule lesions:
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
            units=diagnostic_units(),
            assigned="results/{study}/cohort/assigned.csv",
            settings="results/{study}/settings/diagnostic.json",
            script="scripts/evaluate_tests.py",
            package=imports("scripts/evaluate_tests.py"),
        output:
            expand(
                "results/{{study}}/diagnostic/{table}.csv",
                table=TEST_TABLES,
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
        input:
            units=diagnostic_units(),
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
                table=["groups", "curves", "weighted", "balance"],
            ),
        log:
            "logs/{study}/compare_groups.log",
        conda:
            "../envs/modelling.yaml"
        shell:
            "python {input.script} --settings {input.settings} --units {input.units} --assigned {input.assigned}"
            " --endpoints {input.endpoints} --output results/{wildcards.study}/diagnostic > {log} 2>&1"


rule diagnostic_report:
    input:
        study="results/{study}/study.resolved.yaml",
        tables=diagnostic_tables(),
        flow=only(DIAGNOSTIC.get("tests"), "results/{study}/cohort/flow.csv"),
        figures=diagnostic_figure_files(["png"]),
        script="scripts/diagnostic_report.py",
        package=imports("scripts/diagnostic_report.py"),
    output:
        report(
            "results/{study}/report/diagnostic.html",
            category="Report",
            caption="../report/diagnostic.rst",
            labels={"page": "Diagnostic study"},
        ),
    log:
        "logs/{study}/diagnostic_report.log",
    conda:
        "../envs/report.yaml"
    params:
        captions=[diagnostic_caption(name) for name in diagnostic_figures()],
    shell:
        "python {input.script} --results results/{wildcards.study} --figures {input.figures}"
        " --captions {params.captions:q} --output {output} > {log} 2>&1"
