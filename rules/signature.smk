"""Floor 5: ranking and the elastic-net Cox signature; training rows only."""


rule signature:
    input:
        cohort="results/{study}/cohort/{analysis}/train.csv",
        features="results/{study}/features/{analysis}/train.parquet",
        repeats="results/{study}/features/{analysis}/train_repeats.parquet",
        settings="results/{study}/settings/{analysis}/signature.json",
        icc="results/{study}/signature/{analysis}/icc.csv",
        script="scripts/signature.py",
        package=imports("scripts/signature.py"),
    output:
        signature="results/{study}/signature/{analysis}/signature.json",
        scores="results/{study}/signature/{analysis}/training_scores.parquet",
        trace=multiext(
            "results/{study}/signature/{analysis}/",
            "ranking.csv",
            "lasso_path.csv",
            "cv_deviance.csv",
            "weights.csv",
        ),
    log:
        "logs/{study}/signature/{analysis}.log",
    benchmark:
        "benchmarks/{study}/signature/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        seed=STUDY["seed"],
        labels=labels,
        trace=lambda wildcards, output: os.path.dirname(output.signature),
    shell:
        "python {input.script} --cohort {input.cohort} --features {input.features} --repeats {input.repeats}"
        " --icc {input.icc} --settings {input.settings} --seed {params.seed} --labels {params.labels:q}"
        " --signature {output.signature} --trace {params.trace} --scores {output.scores} > {log} 2>&1"


if IMAGES:

    rule example_case:
        """One training patient for a figure: slices, regions, a map of the signature's heaviest feature."""
        input:
            cases=expand("results/{{study}}/images/batch-{batch}.csv", batch=BATCHES),
            train="results/{study}/cohort/{analysis}/train.csv",
            weights="results/{study}/signature/{analysis}/weights.csv",
            script="scripts/example_case.py",
            package=imports("scripts/example_case.py"),
        output:
            pixels="results/{study}/signature/{analysis}/example_pixels.csv",
            views="results/{study}/signature/{analysis}/example_views.csv",
        log:
            "logs/{study}/example_case/{analysis}.log",
        benchmark:
            "benchmarks/{study}/example_case/{analysis}.tsv"
        conda:
            "../envs/imaging.yaml"
        params:
            cache=STUDY["cache_dir"],
            phases=IMAGES["phases"],
            extraction=json.dumps(IMAGES["extraction"], sort_keys=True),
            labels=labels,
        shell:
            "python {input.script} --cases {input.cases} --cache {params.cache:q} --train {input.train}"
            " --weights {input.weights} --phases {params.phases} --extraction {params.extraction:q}"
            " --labels {params.labels:q} --pixels {output.pixels} --views {output.views} > {log} 2>&1"
