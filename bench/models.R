# The R side of bench/models.py.  usage: Rscript models.R FOLDER TASK [THRESHOLD]
# Reads the tables that models.py wrote to FOLDER, writes TASK.json there: cpu and wall seconds, and what was computed.
arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]; task <- arguments[2]
suppressMessages(library(survival))
rows <- function(name) read.csv(file.path(folder, name), header = TRUE)
timed <- function(expression) {
  used <- system.time(value <- expression)
  list(value = value, cpu = used[["user.self"]] + used[["sys.self"]], wall = used[["elapsed"]])
}
numbers <- function(x) paste0("[", paste(format(as.numeric(x), digits = 17, trim = TRUE), collapse = ","), "]")
answer <- function(run, ...) {
  values <- c(list(cpu = run$cpu, wall = run$wall), list(...))
  text <- paste0('"', names(values), '":', vapply(values, numbers, ""), collapse = ",")
  writeLines(paste0("{", text, "}"), file.path(folder, paste0(task, ".json")))
}

if (task == "lasso") {
  suppressMessages(library(glmnet))
  x <- as.matrix(rows("lasso_x.csv")); y <- rows("lasso_y.csv")
  outcome <- Surv(y$time, y$event)
  # without given penalties every fold has its own, and its deviance is read between two of them
  lambda <- glmnet(x, outcome, family = "cox")$lambda
  run <- timed(cv.glmnet(x, outcome, family = "cox", foldid = y$fold, lambda = lambda,
                         thresh = as.numeric(arguments[3]), maxit = 1e7))
  answer(run, lambda = run$value$lambda, deviance = run$value$cvm, coef = as.matrix(run$value$glmnet.fit$beta))
} else if (task == "forest") {
  suppressMessages(library(ranger))
  x <- rows("forest_x.csv"); y <- rows("forest_y.csv")
  data <- cbind(time = y$time, event = y$event, x)
  run <- timed(ranger(dependent.variable.name = "time", status.variable.name = "event", data = data, num.trees = 1000,
                      importance = "permutation", num.threads = 2, seed = 1,
                      verbose = FALSE))
  nodes <- mean(vapply(run$value$forest$child.nodeIDs, function(tree) length(tree[[1]]), 1))
  answer(run, importance = run$value$variable.importance, nodes = nodes)
} else if (task == "univariable") {
  x <- as.matrix(rows("univariable_x.csv")); y <- rows("univariable_y.csv")
  run <- timed(vapply(seq_len(ncol(x)), function(j) {
    fit <- coxph(Surv(y$time, y$event) ~ x[, j], ties = "efron")
    c(fit$coefficients, sqrt(fit$var))
  }, c(0, 0)))
  answer(run, coef = run$value[1, ], se = run$value[2, ])
} else if (task == "bootstrap") {
  y <- rows("bootstrap.csv"); draws <- as.matrix(rows("draws.csv")) + 1
  run <- timed(apply(draws, 1, function(i)
    concordance(Surv(y$time[i], y$event[i]) ~ y$score[i], reverse = TRUE, std.err = FALSE)$concordance))
  answer(run, c = run$value)
}
