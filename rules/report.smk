"""Floor 9: the report, the manuscript's tables, the risk calculator, the model card, pages of images and tests."""


localrules:
    calculator,
    checklists,
    diagnostic_report,
    manuscript_tables,
    model_card,


rule report:
    """The notebook of the study, executed to one self-contained page."""
    input:
        notebook="notebooks/report.ipynb",
        tables=outputs.result_tables(STUDY)
        + figures.all_tables(STUDY)
        + outputs.feature_tables(STUDY),
        regions=only(
            IMAGES, *expand(f"{RESULTS}/images/regions/batch-{{batch}}.csv", batch=BATCHES)
        ),
        processing=outputs.processing_files(STUDY),
        figures=figures.files(STUDY, ["png"]),
        models=[f"{RESULTS}/models/{analysis}/frozen" for analysis in ANALYSES],
        pictures=only(IMAGES, *(f"{RESULTS}/images/qc/batch-{batch}" for batch in BATCHES)),
        manuscript=outputs.manuscript_tables(STUDY),
        captions=written("captions", figures.captions(STUDY)),
        texts=["report/texts.yaml", "report/ji2020.yaml"],
        checklists=only(ANALYSES, f"{RESULTS}/report/checklists.csv"),
        script="scripts/report.py",
        package=imports("scripts/report.py", "notebooks/report.ipynb"),
    output:
        html=report(
            "results/{study}/report/report.html",
            category="Report",
            caption="../report/report.rst",
            labels={"page": "Report"},
        ),
        notebook="results/{study}/report/report.ipynb",
    log:
        "logs/{study}/report.log",
    benchmark:
        "benchmarks/{study}/report.tsv"
    conda:
        "../envs/report.yaml"
    shell:
        "python {input.script} --notebook {input.notebook} --results results/{wildcards.study}"
        " --executed {output.notebook} --html {output.html} > {log} 2>&1"


rule manuscript_tables:
    """Table 1, Cox models, performance, comparisons and features as a manuscript wants them: CSV, HTML, Word."""
    input:
        tables=lambda wildcards: outputs.manuscript_sources(STUDY, wildcards.analysis),
        names="scripts/recur/features/ibsi_names.csv",
        script="scripts/manuscript_tables.py",
        package=imports("scripts/manuscript_tables.py"),
    output:
        directory("results/{study}/report/tables/{analysis}"),
    log:
        "logs/{study}/manuscript_tables/{analysis}.log",
    benchmark:
        "benchmarks/{study}/manuscript_tables/{analysis}.tsv"
    conda:
        "../envs/report.yaml"
    params:
        labels=labels,
        words=json.dumps(study_words(STUDY)),
        synthetic="--synthetic" if STUDY["synthetic"] else "",
    shell:
        "python {input.script} --results results/{wildcards.study} --labels {params.labels:q} --words {params.words:q}"
        " {params.synthetic} --output {output} > {log} 2>&1"


rule calculator:
    """One page that applies every frozen model of the study, offline."""
    input:
        study="results/{study}/settings/model_card.json",
        models=[f"{RESULTS}/models/{analysis}/frozen" for analysis in ANALYSES],
        performance="results/{study}/validation/performance.csv",
        script="scripts/calculator.py",
        package=imports("scripts/calculator.py"),
    output:
        report(
            "results/{study}/report/calculator.html",
            category="Report",
            caption="../report/calculator.rst",
            labels={"page": "Risk calculator"},
        ),
    log:
        "logs/{study}/calculator.log",
    conda:
        "../envs/modelling.yaml"
    shell:
        "python {input.script} --study {input.study} --models {input.models} --performance {input.performance}"
        " --output {output} > {log} 2>&1"


rule model_card:
    """What the frozen models are for, what they know and what they do not."""
    input:
        study="results/{study}/settings/model_card.json",
        models=[f"{RESULTS}/models/{analysis}/frozen" for analysis in ANALYSES],
        signatures=[
            f"{RESULTS}/signature/{analysis}/{name}"
            for analysis in ANALYSES
            for name in ("signature.json", "icc.csv", "weights.csv")
            if uses_features(analysis)
        ],
        sizes=[f"{RESULTS}/models/{analysis}/sample_size.csv" for analysis in ANALYSES],
        flow="results/{study}/cohort/flow.csv",
        followed=[
            f"{RESULTS}/cohort/{analysis}/follow_up.csv" for analysis in analyses.followed(STUDY)
        ],
        notes=only("comparators" in STUDY, f"{RESULTS}/cohort/score_notes.csv"),
        texts="report/texts.yaml",
        cohorts=[
            f"{RESULTS}/cohort/{analysis}/{part}.csv"
            for analysis in ANALYSES
            for part in ("train", "heldout")
        ],
        performance="results/{study}/validation/performance.csv",
        guards="results/{study}/validation/guards.csv",
        manifest=only(IMAGES, f"{RESULTS}/features/{READERS[0]}.manifest.json"),
        citation="CITATION.cff",
        script="scripts/model_card.py",
        package=imports("scripts/model_card.py"),
    output:
        html=report(
            "results/{study}/report/model_card.html",
            category="Report",
            caption="../report/model_card.rst",
            labels={"page": "Model card"},
        ),
        markdown="results/{study}/report/model_card.md",
    log:
        "logs/{study}/model_card.log",
    conda:
        "../envs/modelling.yaml"
    params:
        analyses=ANALYSES,
        manifest=option("manifest"),
    shell:
        "python {input.script} --study {input.study} --results results/{wildcards.study} --analyses {params.analyses}"
        " {params.manifest} --citation {input.citation} --markdown {output.markdown} --html {output.html} > {log} 2>&1"


rule checklists:
    """TRIPOD+AI, CLEAR, METRICS, RQS and the IBSI sheet: what the files of this run show, and what needs a human."""
    input:
        sheets=sorted(glob("checklists/*.yaml")),
        study="results/{study}/study.resolved.yaml",
        tables=outputs.result_tables(STUDY)
        + figures.all_tables(STUDY)
        + outputs.feature_tables(STUDY),
        models=[f"{RESULTS}/models/{analysis}/frozen" for analysis in ANALYSES],
        pages=outputs.applied_pages(STUDY),
        processing=outputs.processing_files(STUDY),
        script="scripts/checklists.py",
        package=imports("scripts/checklists.py"),
    output:
        table="results/{study}/report/checklists.csv",
        html=report(
            "results/{study}/report/checklists.html",
            category="Report",
            caption="../report/checklists.rst",
            labels={"page": "Checklists"},
        ),
    log:
        "logs/{study}/checklists.log",
    benchmark:
        "benchmarks/{study}/checklists.tsv"
    conda:
        "../envs/report.yaml"
    shell:
        "python {input.script} --results results/{wildcards.study} --table {output.table} --html {output.html} > {log} 2>&1"


rule diagnostic_report:
    """The page of a diagnostic study."""
    input:
        study="results/{study}/study.resolved.yaml",
        tables=diagnostic.tables(STUDY),
        flow=only(DIAGNOSTIC.get("tests"), "results/{study}/cohort/flow.csv"),
        figures=figures.diagnostic_files(STUDY, ["png"]),
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
        captions=[figures.diagnostic_caption(STUDY, name) for name in figures.of_diagnostic(STUDY)],
    shell:
        "python {input.script} --results results/{wildcards.study} --figures {input.figures}"
        " --captions {params.captions:q} --output {output} > {log} 2>&1"


rule provenance:
    """What everything above was made from; the last thing a run writes."""
    input:
        results=outputs.of_study(STUDY),
        study="results/{study}/study.resolved.yaml",
        script="scripts/provenance.py",
        package=imports("scripts/provenance.py"),
    output:
        record="results/{study}/provenance.json",
        crate="results/{study}/ro-crate-metadata.json",
    log:
        "logs/{study}/provenance.log",
    benchmark:
        "benchmarks/{study}/provenance.tsv"
    conda:
        "../envs/report.yaml"
    params:
        study_file=STUDY_FILE,
    shell:
        "python {input.script} --study {input.study} --study-file {params.study_file:q}"
        " --results results/{wildcards.study} > {log} 2>&1"


if IMAGES:

    localrules:
        qc_page,

    rule qc_page:
        """One page of all masks, worst first, to look through."""
        input:
            cases=expand("results/{{study}}/images/batch-{batch}.csv", batch=BATCHES),
            regions=expand("results/{{study}}/images/regions/batch-{batch}.csv", batch=BATCHES),
            pictures=expand("results/{{study}}/images/qc/batch-{batch}", batch=BATCHES),
            assigned="results/{study}/cohort/assigned.csv",
            review=only(IMAGES["review"], IMAGES["review"]),
            script="scripts/qc_page.py",
            package=imports("scripts/qc_page.py"),
        output:
            "results/{study}/images/qc/index.html",
        log:
            "logs/{study}/qc_page.log",
        conda:
            "../envs/imaging.yaml"
        params:
            synthetic="--synthetic" if STUDY["synthetic"] else "",
            review=option("review"),
        shell:
            "python {input.script} --study {wildcards.study} --cases {input.cases} --regions {input.regions}"
            " --assigned {input.assigned} {params.synthetic} {params.review:q} --output {output} > {log} 2>&1"
