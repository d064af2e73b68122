"""Floor 8: each figure is one file of scripts/figures/ that names its tables and its caption."""


rule figure:
    """One figure of an analysis."""
    input:
        tables=lambda wildcards: figures.tables(
            STUDY, wildcards.analysis, wildcards.figure
        ).values(),
        script="scripts/figure.py",
        drawing="scripts/figures/{figure}.py",
        package=imports("scripts/figure.py"),
    output:
        report(
            "results/{study}/figures/{analysis}/{figure}.svg",
            caption="../report/figure.rst",
            category=lambda wildcards: figures.all_figures()[wildcards.figure].category,
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
        arguments=lambda wildcards: shlex.join(
            figures.arguments(STUDY, wildcards.analysis, wildcards.figure)
        ),
        caption=lambda wildcards: figures.caption(STUDY, wildcards.analysis, wildcards.figure),
    shell:
        "python {input.script} {params.arguments} > {log} 2>&1"


rule diagnostic_figure:
    """One figure of a diagnostic study."""
    input:
        tables=lambda wildcards: figures.diagnostic_tables(STUDY, wildcards.figure).values(),
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
        arguments=lambda wildcards: shlex.join(
            figures.diagnostic_arguments(STUDY, wildcards.figure)
        ),
        caption=lambda wildcards: figures.diagnostic_caption(STUDY, wildcards.figure),
    shell:
        "python {input.script} {params.arguments} > {log} 2>&1"


if FROM_TABLES:

    rule figures:
        """Every figure by one job, of which a process draws many. Not outputs: it draws whenever it is asked."""
        default_target: True
        input:
            figures.all_tables(STUDY),
            drawings=sorted(glob("scripts/figures/*.py")),
            figure="scripts/figure.py",
            figures=written("figures", figures.all_arguments(STUDY)),
            script="scripts/all_figures.py",
        log:
            f"logs/{NAME}/figures.log",
        conda:
            "../envs/report.yaml"
        threads: workflow.cores or 1
        shell:
            "python {input.script} --figures {input.figures} --processes {threads} 2>&1 | tee {log} >&2"

else:

    rule figures:
        """Every figure of the study."""
        input:
            figures.files(STUDY),
            figures.diagnostic_files(STUDY),
