# Firth's penalised Cox regression written from Heinze & Schemper (Biometrics 2001), for the values in
# tests/statistics/test_penalised.py: log partial likelihood and information of survival::coxph at given coefficients, maximised
# by nlminb and polished with numerical derivatives.   Rscript tests/data/firth_values.R > tests/data/firth_values.json
library(survival)

at_beta <- function(beta, x, time, event, strata) {
  codes <- if (is.null(strata)) NULL else as.integer(factor(strata))
  suppressWarnings(coxph.fit(x, Surv(time, event), codes, NULL, beta, coxph.control(iter.max = 0),
                             rep(1, nrow(x)), "efron", seq_len(nrow(x))))
}

penalised <- function(beta, x, time, event, strata, penalty, copies) {
  if (!all(is.finite(beta))) return(-1e6)
  fit <- at_beta(beta, x, time, event, strata)
  if (penalty == "ridge") {
    sd <- sqrt(colMeans(sweep(x, 2, colMeans(x))^2))
    return(fit$loglik[2] - sum((beta * sd)^2))
  }
  value <- fit$loglik[2] - copies * as.numeric(determinant(as.matrix(fit$var))$modulus) / 2
  if (is.finite(value)) value else -1e6
}

maximise <- function(loss, start) {
  if (length(start) == 0) return(list(par = start, value = -loss(start)))
  best <- nlminb(start, loss, control = list(rel.tol = 1e-15, x.tol = 1e-12, eval.max = 5000, iter.max = 5000))
  beta <- best$par
  p <- length(beta)
  for (round in 1:3) {  # Newton with central differences
    h <- 1e-3 * pmax(0.1, abs(beta))
    unit <- diag(h, p)
    D <- function(a) (8 * (loss(beta + unit[, a]) - loss(beta - unit[, a])) -
                        (loss(beta + 2 * unit[, a]) - loss(beta - 2 * unit[, a]))) / (12 * h[a])
    g <- sapply(1:p, D)
    H <- matrix(0, p, p)
    for (a in 1:p) for (b in 1:p)
      H[a, b] <- (loss(beta + unit[, a] + unit[, b]) - loss(beta + unit[, a] - unit[, b]) -
                    loss(beta - unit[, a] + unit[, b]) + loss(beta - unit[, a] - unit[, b])) / (4 * h[a] * h[b])
    beta <- beta - solve(H, g)
  }
  list(par = beta, value = -loss(beta))
}

# copies: so many times the rows stand below each other, and weigh 1 / copies each beside the penalty and in the tests
analyse <- function(x, time, event, strata = NULL, penalty = "firth", copies = 1) {
  x <- as.matrix(x); dimnames(x) <- NULL; storage.mode(x) <- "double"; time <- as.numeric(time); p <- ncol(x)
  loss <- function(b) -penalised(b, x, time, event, strata, penalty, copies)
  best <- maximise(loss, rep(0, p))
  at <- at_beta(best$par, x, time, event, strata)
  held <- function(j, value) {
    part <- function(b) { full <- numeric(p); full[j] <- value; full[-j] <- b; loss(full) }
    2 * (best$value - maximise(part, best$par[-j])$value) / copies
  }
  lower <- upper <- pvalue <- numeric(p)
  se <- sqrt(diag(as.matrix(at$var)))
  for (j in 1:p) {
    root <- function(value) held(j, value) - qchisq(0.95, 1)
    reach <- function(sign) { w <- 2; while (root(best$par[j] + sign * w * se[j]) < 0) w <- 1.5 * w; best$par[j] + sign * w * se[j] }
    lower[j] <- uniroot(root, c(reach(-1), best$par[j]), tol = 1e-8)$root
    upper[j] <- uniroot(root, c(best$par[j], reach(1)), tol = 1e-8)$root
    pvalue[j] <- pchisq(held(j, 0), 1, lower.tail = FALSE)
  }
  list(coef = best$par, se = se, loglik = best$value, null = -loss(rep(0, p)), lower = lower, upper = upper, p = pvalue)
}

number <- function(v) paste0("[", paste(format(v, digits = 15), collapse = ", "), "]")
write_one <- function(name, r) {
  cat(sprintf('  "%s": {%s}', name, paste(sprintf('"%s": %s', names(r), sapply(r, number)), collapse = ", ")))
}

breast <- read.csv("tests/data/coxphf_breast.csv")
lung <- na.omit(survival::lung[c("time", "status", "age", "ph.karno", "sex", "inst")])
event <- lung$status == 2
x <- cbind(age = lung$age, karno = lung$ph.karno, spared = as.numeric(!event & seq_along(event) %% 2 == 0))
early <- cbind(order = rank(-lung$time[1:12]), karno = lung$ph.karno[1:12])
centre <- ifelse(lung$inst < 8, "a", "b")
cat("{\n")
write_one("breast", analyse(breast[c("T", "N", "G", "CD")], breast$TIME, breast$CENS)); cat(",\n")
write_one("level_without_events", analyse(x, lung$time, event)); cat(",\n")
write_one("continuous", analyse(early, lung$time[1:12], event[1:12])); cat(",\n")
write_one("strata", analyse(x, lung$time, event, strata = centre)); cat(",\n")
thrice <- rep(seq_along(event), 3)
write_one("copies", analyse(x[thrice, ], lung$time[thrice], event[thrice], copies = 3)); cat(",\n")
write_one("ridge", analyse(x, lung$time, event, penalty = "ridge"))
cat("\n}\n")
