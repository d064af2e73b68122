# Writes tied.csv (a generated cohort: many ties, a time of 0, two events) and r_values.json, what R makes of it.
# Rscript r_values.R, with survival, riskRegression, pec, prodlim, maxstat, cmprsk, glmnet and jsonlite
suppressMessages({
  library(survival); library(riskRegression); library(pec); library(prodlim); library(maxstat); library(cmprsk)
  library(glmnet); library(jsonlite)
})
set.seed(20)
n <- 80
x1 <- round(rnorm(n), 2); x2 <- rbinom(n, 1, 0.4); x3 <- round(runif(n, 0, 2), 1)
failure <- ceiling(rexp(n, exp(0.8 * x1 - 0.5 * x2 - 2.2))); limit <- sample(2:14, n, TRUE)
code <- ifelse(failure <= limit, 1 + rbinom(n, 1, 0.3), 0)
d <- data.frame(time = pmin(failure, limit), code, x1, x2, x3, group = sample(1:4, n, TRUE),
                fold = rep(1:5, 16))
d[1, c("time", "code")] <- 0
write.csv(d, "tied.csv", row.names = FALSE)
d$event <- as.integer(d$code == 1)
exact <- coxph.control(eps = 1e-13, toler.chol = 1e-14, iter.max = 100)
r <- list()

km <- function(event) survfit(Surv(d$time, event) ~ 1, conf.type = "log-log")
f <- km(d$event); m <- quantile(f, 0.5); q <- quantile(km(1 - d$event), 0.5)
r$km <- list(time = f$time, n_risk = f$n.risk, n_event = f$n.event, n_censor = f$n.censor, survival = f$surv,
             lower = f$lower, upper = f$upper, median = unlist(m, use.names = FALSE),
             follow_up = unlist(q, use.names = FALSE))
s <- survdiff(Surv(time, event) ~ group, d); w <- seq_along(s$n)
r$logrank <- list(groups = s$chisq, trend = sum(w * (s$obs - s$exp))^2 / drop(w %*% s$var %*% w))

f <- coxph(Surv(time, event) ~ x1 + x2 + x3, d, control = exact, x = TRUE, y = TRUE)
r$cox <- list(coef = unname(coef(f)), se = unname(sqrt(diag(vcov(f)))), wald = unname(f$wald.test), score = f$score,
              loglik = f$loglik)
p <- summary(survfit(f, d[1:3, ], conf.type = "log-log"), times = 6)
r$predicted <- list(survival = drop(p$surv), lower = drop(p$lower), upper = drop(p$upper))
r$zph <- unname(cox.zph(f)$table[, 1])
r$kept <- attr(terms(step(f, trace = 0)), "term.labels")
lp <- drop(as.matrix(d[, c("x1", "x2", "x3")]) %*% coef(f)); d$lp <- lp
both <- concordance(coxph(Surv(time, event) ~ lp, d), coxph(Surv(time, event) ~ x1, d)); v <- both$var
uno <- concordance(Surv(time, event) ~ lp, d, reverse = TRUE, timewt = "n/G2", ymax = 8)
r$c <- list(harrell = unname(both$concordance[1]), se = sqrt(v[1, 1]), difference = -diff(unname(both$concordance)),
            difference_se = sqrt(v[1, 1] + v[2, 2] - 2 * v[1, 2]), uno = unname(uno$concordance), uno_se = sqrt(uno$var))
r$royston <- unname(royston(f)[1:3])

d$risk <- predictRisk(f, d, times = 6)[, 1]; d <- as.data.frame(d)
s <- Score(list(m = d$risk), Surv(time, event) ~ 1, d, times = 6, metrics = c("auc", "brier"), summary = "ipa",
           cens.model = "km", se.fit = TRUE)
curve <- pec(list(m = f), Surv(time, event) ~ 1, d, cens.model = "marginal", times = sort(unique(d$time)),
             exact = TRUE, verbose = FALSE)
r$score <- list(auc = s$AUC$score$AUC, auc_se = s$AUC$score$se, brier = s$Brier$score$Brier,
                brier_se = s$Brier$score$se, ipa = s$Brier$score$IPA[2], ibs = unname(crps(curve, times = 6)[, 1]),
                ibs_later = unname(crps(curve, times = 6.9)[, 1]))
m <- maxstat.test(Surv(time, event) ~ x1, d, smethod = "LogRank", pmethod = "Lau92")
r$maxstat <- c(unname(m$estimate), unname(m$statistic), m$p.value)

a <- summary(survfit(Surv(time, factor(code)) ~ 1, d, conf.type = "log-log"), times = c(3, 6, 9))
r$aalen_johansen <- list(incidence = a$pstate[, 2], se = a$std.err[, 2], lower = a$lower[, 2], upper = a$upper[, 2])
g <- crr(d$time, d$code, as.matrix(d[, c("x1", "x2", "x3")]), gtol = 1e-12, maxiter = 100)
r$fine_gray <- list(coef = unname(g$coef), se = sqrt(diag(g$var)))
cs <- CSC(Hist(time, code) ~ x1 + x2 + x3, d, cause = 1, control = exact)
d$incidence <- predictRisk(cs, d, times = 6, cause = 1)[, 1]; d <- as.data.frame(d)
s <- Score(list(m = d$incidence), Hist(time, code) ~ 1, d, times = 6, cause = 1, metrics = c("auc", "brier"),
           cens.model = "km", se.fit = TRUE)
ci <- cindex(list(m = as.matrix(d$incidence)), Hist(time, code) ~ 1, d, eval.times = 6, cens.model = "marginal",
             cause = 1, verbose = FALSE)
curve <- pec(list(m = cs), Hist(time, code) ~ 1, d, cause = 1, cens.model = "marginal",
             times = c(0, sort(unique(d$time))), exact = TRUE, verbose = FALSE)
r$competing <- list(ibs = unname(crps(curve, times = 6.9)[, 1]), incidence = d$incidence[1:5], auc = s$AUC$score$AUC, auc_se = s$AUC$score$se,
                    brier = s$Brier$score$Brier, brier_se = s$Brier$score$se, c = unname(unlist(ci$AppCindex)))

e <- d[d$time > 0, ]; x <- cbind(as.matrix(e[, c("x1", "x2", "x3")]), e$x1^2, e$x1 * e$x3)
y <- Surv(e$time, e$event); lambda <- 0.2 * 0.7^(0:9)
cv <- cv.glmnet(x, y, family = "cox", lambda = lambda, foldid = e$fold, thresh = 1e-16, maxit = 1e7)
path <- glmnet(x, y, family = "cox", lambda = lambda, thresh = 1e-16, maxit = 1e7)
r$glmnet <- list(lambda = lambda, coef = unname(as.matrix(path$beta)), deviance = unname(cv$cvm), se = unname(cv$cvsd))
writeLines(toJSON(r, digits = NA, auto_unbox = TRUE, na = "null"), "r_values.json")
