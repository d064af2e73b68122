"""Floor 9: a papermill notebook, executed to one self-contained HTML file."""


rule report:
    input:
        notebook="notebooks/report.ipynb",
        tables=result_tables() + all_figure_tables() + feature_tables(),
        regions=only(
            IMAGES, *expand(f"{RESULTS}/images/regions/batch-{{batch}}.csv", batch=BATCHES)
        ),
        processing=only(
            IMAGES,
            f"{RESULTS}/features/{READERS[0]}.manifest.json",
            f"{RESULTS}/features/ibsi_self_test.csv",
            f"{RESULTS}/images/acquisition.csv",
        ),
        figures=figure_files(["png"]),
        models=[f"{RESULTS}/models/{analysis}/frozen" for analysis in ANALYSES],
        pictures=only(IMAGES, *(f"{RESULTS}/images/qc/batch-{batch}" for batch in BATCHES)),
        script="scripts/report.py",
        package=imports("scripts/report.py", "notebooks/report.ipynb"),
    output:
        html=report(
            "results/{study}/report/report.html", category="Report", caption="../report/report.rst"
        ),
        notebook="results/{study}/report/report.ipynb",
    log:
        "logs/{study}/report.log",
    conda:
        "../envs/report.yaml"
    params:
        captions=json.dumps(
            {
                f"{a}/{f}": figure_caption(a, f)
                for a in ANALYSES
                for f in FIGURES
                if has_figure(a, f)
            }
        ),
    shell:
        "python {input.script} --notebook {input.notebook} --results results/{wildcards.study}"
        " --captions {params.captions:q} --executed {output.notebook} --html {output.html} > {log} 2>&1"
