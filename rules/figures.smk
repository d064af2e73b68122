"""Floor 8: one rule; each figure is one file of scripts/figures/ that names its tables and its caption."""


rule figure:
    input:
        tables=lambda wildcards: figure_tables(wildcards.analysis, wildcards.figure).values(),
        script="scripts/figure.py",
        drawing="scripts/figures/{figure}.py",
        package=imports("scripts/figure.py"),
    output:
        report(
            "results/{study}/figures/{analysis}/{figure}.svg",
            caption="../report/figure.rst",
            category=lambda wildcards: FIGURES[wildcards.figure]["CATEGORY"],
            subcategory="{analysis}",
            labels={"analysis": "{analysis}", "figure": "{figure}"},
        ),
        pdf="results/{study}/figures/{analysis}/{figure}.pdf",
        png="results/{study}/figures/{analysis}/{figure}.png",
    log:
        "logs/{study}/figure/{analysis}_{figure}.log",
    benchmark:
        "benchmarks/{study}/figure/{analysis}_{figure}.tsv"
    conda:
        "../envs/report.yaml"
    resources:
        runtime=2,
    params:
        tables=lambda wildcards: [
            f"{k}={v}" for k, v in figure_tables(wildcards.analysis, wildcards.figure).items()
        ],
        stem=lambda wildcards, output: output.pdf.removesuffix(".pdf"),
        endpoint=lambda wildcards: STUDY["analyses"][wildcards.analysis]["endpoint"],
        caption=lambda wildcards: figure_caption(wildcards.analysis, wildcards.figure),
        outcome=lambda wildcards: OUTCOMES[wildcards.analysis],
        horizon=STUDY["horizons_months"][0],
        synthetic="--synthetic" if STUDY["synthetic"] else "",
    shell:
        "python {input.script} --figure {wildcards.figure} --input {params.tables} --output-stem {params.stem}"
        " --title-note {wildcards.analysis} --endpoint {params.endpoint} --outcome {params.outcome} --primary-horizon {params.horizon}"
        " {params.synthetic} > {log} 2>&1"


rule diagnostic_figure:
    input:
        tables=lambda wildcards: diagnostic_inputs(wildcards.figure).values(),
        script="scripts/figure.py",
        drawing="scripts/figures/{figure}.py",
        package=imports("scripts/figure.py"),
    output:
        report(
            "results/{study}/figures/diagnostic/{figure}.svg",
            caption="../report/figure.rst",
            category="Diagnostic",
            labels={"figure": "{figure}"},
        ),
        pdf="results/{study}/figures/diagnostic/{figure}.pdf",
        png="results/{study}/figures/diagnostic/{figure}.png",
    log:
        "logs/{study}/diagnostic_figure/{figure}.log",
    conda:
        "../envs/report.yaml"
    resources:
        runtime=2,
    params:
        tables=lambda wildcards: [
            f"{k}={v}" for k, v in diagnostic_inputs(wildcards.figure).items()
        ],
        stem=lambda wildcards, output: output.pdf.removesuffix(".pdf"),
        endpoint=DIAGNOSTIC.get("reference", "none"),
        caption=lambda wildcards: diagnostic_caption(wildcards.figure),
        synthetic="--synthetic" if STUDY["synthetic"] else "",
    shell:
        "python {input.script} --figure {wildcards.figure} --input {params.tables} --output-stem {params.stem}"
        " --endpoint {params.endpoint} --primary-horizon 0 {params.synthetic} > {log} 2>&1"
